"""Files of Hugging Face's Hub: from its cache on this machine, or downloaded; without a network, an answer at once."""

from __future__ import annotations

import fnmatch
import importlib
import logging
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.contract import DataError, DataPlace
from bench.data.formats.parquet import EXTRA
from bench.environment import hub_obstacle
from bench.naming import reason_of

logger = logging.getLogger(__name__)


def hub_snapshot(repository: str, revision: str, place: DataPlace, kinds: Sequence[Sequence[str]], name: str) -> Path:
    """Return the folder with a repository's files of the first kind that it has any of; a kind is a few patterns.

    What a download of ours brought to Hugging Face's cache is not asked for again; what else lies there may be part of
    it, and is used as it is where there is no network. name: of the data set, for errors.
    Raises DataError in under a second where there is neither copy nor network.
    """
    try:
        hub = importlib.import_module("huggingface_hub")
    except ImportError as error:
        raise DataError(f"{repository}: the Hub needs huggingface_hub and pyarrow: {EXTRA}") from error
    cached = _cached_snapshot(hub, repository, revision, kinds)
    if cached is not None and _marker(place, repository, cached).is_file():
        return cached
    obstacle = hub_obstacle() if place.download else "downloading is switched off"
    if obstacle and cached is not None:
        logger.warning("%s: the copy on this machine may be part of it; not compared, for %s", repository, obstacle)
        return cached
    if obstacle:
        raise DataError(_how_to_provide(repository, obstacle, name))
    try:
        files = hub.HfApi().list_repo_files(repository, repo_type="dataset", revision=revision)
        patterns = chosen(files, kinds)
        if not patterns:
            raise DataError(
                f"{repository}: neither Parquet files, archives nor images in its revision {revision!r}; a set that "
                "was converted by the Hub has them in revision=refs/convert/parquet"
            )
        wanted = [*patterns, "README.md"]
        whole = Path(hub.snapshot_download(repository, repo_type="dataset", revision=revision, allow_patterns=wanted))
    except DataError:
        raise
    except Exception as error:  # the Hub's own errors have many kinds
        why = f"the Hub gave no revision {revision!r} ({reason_of(error)})"
        raise DataError(_how_to_provide(repository, why, name)) from error
    marker = _marker(place, repository, whole)
    with suppress(OSError):  # without it, the next start asks the Hub again
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()
    return whole


def _cached_snapshot(hub: Any, repository: str, revision: str, kinds: Sequence[Sequence[str]]) -> Path | None:
    """Return the snapshot in Hugging Face's cache that has files of a kind, None where none has."""
    for kind in kinds:  # by the patterns of the download: newer versions compare with the list of files, where cached
        with suppress(Exception):  # of the many kinds, all mean the same: it is not there
            folder = hub.snapshot_download(
                repository,
                repo_type="dataset",
                revision=revision,
                local_files_only=True,
                allow_patterns=[*kind, "README.md"],
            )
            whole = Path(folder)
            if chosen([path.relative_to(whole).as_posix() for path in whole.rglob("*") if path.is_file()], [kind]):
                return whole
    return None


def _marker(place: DataPlace, repository: str, snapshot: Path) -> Path:
    """Return the file that says that a snapshot (a folder named by its commit) was downloaded to the end."""
    return place.cache / "hub" / f"{repository.replace('/', '--')}-{snapshot.name}"


def chosen(names: Sequence[str], kinds: Sequence[Sequence[str]]) -> Sequence[str]:
    """Return the patterns of the first kind that a name fits, or nothing."""
    return next((kind for kind in kinds if any(fnmatch.filter(names, pattern) for pattern in kind)), ())


def _how_to_provide(repository: str, why: str, name: str) -> str:
    return (
        f"{repository}: no copy on this machine, and {why}. Do one of: run `simbench fetch {name}` with a network; "
        f"copy the files of https://huggingface.co/datasets/{repository} into a folder {repository}, and name the "
        "folder that is in with --data-root or SIMBENCH_DATA"
    )
