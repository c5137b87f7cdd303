"""Files of Hugging Face's Hub: from its cache on this machine, or downloaded; without a network, an answer at once."""

from __future__ import annotations

import fnmatch
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.contract import DataError, DataPlace
from bench.online import hub_obstacle

EXTRA = "pip install 'simbench-retrieval[hf]'"


def hub_snapshot(repository: str, revision: str, place: DataPlace, kinds: Sequence[Sequence[str]], name: str) -> Path:
    """Return the folder with a repository's files of the first kind that it has any of; a kind is a few patterns.

    What Hugging Face's cache has already is not asked for again. name: of the data set, for errors.
    Raises DataError in under a second where there is neither copy nor network.
    """
    hub = _hub(repository)
    try:
        kept = Path(hub.snapshot_download(repository, repo_type="dataset", revision=revision, local_files_only=True))
        if chosen(_names_in(kept), kinds):
            return kept
    except Exception:  # noqa: S110 - of the many kinds, all mean the same: it is not there, and is asked for below
        pass
    obstacle = _obstacle(place)
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
        return Path(hub.snapshot_download(repository, repo_type="dataset", revision=revision, allow_patterns=wanted))
    except DataError:
        raise
    except Exception as error:  # the Hub's own errors have many kinds
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(
            _how_to_provide(repository, f"the Hub gave no revision {revision!r} ({reason})", name)
        ) from error


def chosen(names: Sequence[str], kinds: Sequence[Sequence[str]]) -> Sequence[str]:
    """Return the patterns of the first kind that a name fits, or nothing."""
    return next((kind for kind in kinds if any(fnmatch.filter(names, pattern) for pattern in kind)), ())


def _obstacle(place: DataPlace) -> str:
    return hub_obstacle() if place.download else "downloading is switched off"


def _hub(repository: str) -> Any:
    try:
        return importlib.import_module("huggingface_hub")
    except ImportError as error:
        raise DataError(f"{repository}: the Hub needs huggingface_hub and pyarrow: {EXTRA}") from error


def _names_in(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]


def _how_to_provide(repository: str, why: str, name: str) -> str:
    return (
        f"{repository}: no copy on this machine, and {why}. Do one of: run `simbench fetch {name}` with a network; "
        f"copy the files of https://huggingface.co/datasets/{repository} into a folder {repository}, and name the "
        "folder that is in with --data-root or SIMBENCH_DATA"
    )
