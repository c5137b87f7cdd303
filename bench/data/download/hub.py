"""Repositories of Hugging Face's Hub and of GitHub: from a cache on this machine, or downloaded.

Without a network, the answer comes at once.
"""

from __future__ import annotations

import fnmatch
import http.client
import importlib
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.contract import DataError, DataPlace
from bench.data.download.download import download
from bench.data.formats.archives import git_tree
from bench.data.formats.parquet import EXTRA
from bench.environment import hub_obstacle
from bench.files import replacing
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


@dataclass(frozen=True)
class GitHubCommit:
    """A published data set that is all files of a repository of GitHub at one commit.

    dataset: its name here; repository: ``owner/name``; commit: 40 hex digits; tree: git's digest of the commit's files,
    see `bench.data.formats.archives.git_tree`: the archive itself has none, for GitHub may pack it anew.
    host: what the archive is asked of.
    """

    dataset: str
    repository: str
    commit: str
    tree: str
    host: str = "https://codeload.github.com"

    @property
    def archive(self) -> str:
        """Where the archive lies in our cache."""
        return f"{self.dataset}/{self.repository.rpartition('/')[2]}-{self.commit}.tar.gz"

    @property
    def copies(self) -> tuple[str, ...]:
        """What a copy is called, a clone or an archive as GitHub gives it, unpacked or not; ours is the last."""
        name = self.repository.rpartition("/")[2]
        plain = (name, f"{name}-master", f"{name}-main", f"{name}-{self.commit}")
        return (*(f"{one}{suffix}" for suffix in ("", ".tar.gz", ".zip") for one in plain), self.archive)


def fetch_commit(upstream: GitHubCommit, place: DataPlace) -> Path:
    """Return the archive of a commit in our cache, where it is only after a comparison with git's digest.

    Raises DataError where it is not there and cannot be downloaded, or where something else came.
    """
    target = place.cache / upstream.archive
    if target.is_file():
        return target
    if not place.download:
        raise DataError(_how_to_provide_commit(upstream, place, "downloading is switched off"))
    url = f"{upstream.host}/{upstream.repository}/tar.gz/{upstream.commit}"
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as new:
        try:
            download(url, place, new)
        except (OSError, http.client.HTTPException, ValueError) as error:
            why = f"the download failed: {url}: {reason_of(error)}"
            raise DataError(_how_to_provide_commit(upstream, place, why)) from error
        tree = git_tree(new)
        if tree != upstream.tree:
            raise DataError(
                f"{url}: gave other files than the commit's (git's tree {tree}, not {upstream.tree}); nothing was kept"
            )
    return target


def _how_to_provide_commit(upstream: GitHubCommit, place: DataPlace, why: str) -> str:
    looked = ", ".join(str(base) for base in (place.root, place.cache) if base is not None)
    return (
        f"{upstream.dataset}: not found under {looked}, and {why}. Do one of: run `simbench fetch {upstream.dataset}` "
        f"with a network; put a clone of https://github.com/{upstream.repository}, or its archive, into a folder and "
        "name that with --data-root or SIMBENCH_DATA"
    )
