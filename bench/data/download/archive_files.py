"""Published data sets whose files come in one archive: read from it, or from the folder it was unpacked into."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.contract import DataError, DataPlace
from bench.data.decoding.cache import EXTRACTED
from bench.data.download.download import provide
from bench.data.download.sources import Upstream, UpstreamFile, find, is_published, read_checked
from bench.data.formats.archives import fresh_folder, read_members


@dataclass(frozen=True)
class Bundle:
    """One archive and the files in it that are read.

    archive: of one file; folder: what the files are in, in the archive and after unpacking; files: with md5 each.
    keep: put the files into the cache when they are read from the archive, because the archive is much larger.
    """

    archive: Upstream
    folder: str
    files: tuple[UpstreamFile, ...]
    keep: bool = False

    @property
    def unpacked(self) -> Upstream:
        layouts = [*(f"{layout}/{self.folder}" for layout in self.archive.layouts), f"{EXTRACTED}/{self.kept_as}"]
        return replace(self.archive, files=self.files, layouts=tuple(layouts))

    @property
    def kept_as(self) -> str:
        return f"{self.archive.dataset}-{self.folder}"


def fetch_bundle(bundle: Bundle, place: DataPlace, mirrors: Callable[[], Sequence[str]]) -> Path:
    """Return where a bundle lies, after a check of its files: the unpacked folder, or the archive."""
    read_bundle(bundle, place, mirrors)
    found = find(bundle.unpacked, place)
    return next(iter(found.values())).parent if found else next(iter(provide(bundle.archive, place, mirrors).values()))


def read_bundle(
    bundle: Bundle, place: DataPlace, mirrors: Callable[[], Sequence[str]]
) -> dict[str, tuple[bytes, Path]]:
    """Return each file's content, compared with its checksum, and the path to name in errors."""
    unpacked = find(bundle.unpacked, place)
    if unpacked is not None:
        return read_checked(bundle.unpacked, unpacked)
    (archive,) = provide(bundle.archive, place, mirrors).values()
    again = f"delete it and run `simbench fetch {bundle.archive.dataset}`"
    contents = read_members(archive, [file.name for file in bundle.files])
    for file in bundle.files:
        if not is_published(contents[file.name], file):
            raise DataError(
                f"{archive}: its {file.name} has not the md5 {file.md5} (damaged, or another file); {again}"
            )
    if bundle.keep:
        with fresh_folder(place.cache, bundle.kept_as) as (_, new):
            for file in bundle.files:
                if new is not None:
                    (new / file.name).write_bytes(contents[file.name])
    return {name: (content, archive / bundle.folder / name) for name, content in contents.items()}
