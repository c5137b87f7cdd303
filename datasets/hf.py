"""Any image classification set of Hugging Face's Hub: `hf:<owner>/<name>`.

Sets of Parquet files (a column of images, a column of labels) and sets of image files in class folders, as they are or
in archives. Needs the extra: pip install 'simbench-retrieval[hf]'. No code of the Hub is ever executed.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bench import Collection, DataError, DataPlace, UsageError, dataset
from bench.contract import ResizeMode
from bench.data.decoding.decode import DecodeRecipe
from bench.data.decoding.image_source import Source
from bench.data.download.hub import hub_snapshot
from bench.data.formats.archives import is_archive
from bench.data.formats.parquet import README, columns_of, read_parquet
from bench.data.layouts.listing import Listing, Part, collect
from bench.naming import first_few, slug, tidied

from ._pictures import PART_NAMES, as_folder, bases, sort_pictures, tested

KINDS = (  # of files that a set may consist of, the first that there are
    ("*.parquet",),
    ("*.zip", "*.tar", "*.tar.gz", "*.tgz"),
    ("*.jpg", "*.jpeg", "*.JPG", "*.JPEG", "*.png", "*.webp"),
)
UNLABELLED = ("", "-1", "None")


def label_of(path: PurePosixPath) -> str | None:
    """Return the class by the folder that a file is directly in, unless that is a part."""
    name = path.parts[-2] if len(path.parts) > 1 else ""
    return None if not name or name.lower() in PART_NAMES or name.lower() in ("data", "images") else tidied(name)


@dataset
@dataclass(frozen=True)
class HuggingFace:
    """name: <owner>/<name>; revision: a commit to have the same bytes for ever.

    label: the column of the labels, if there are several; config: which of its configurations, if there are several.
    resize: as for a folder of your own; mirror: a mirrored image shows the same class.
    Looked for as a folder <owner>/<name> under the data root and our cache, then in Hugging Face's, then on the Hub.
    """

    name: str = ""
    revision: str = "main"
    label: str = ""
    config: str = ""
    resize: ResizeMode = "crop"
    mirror: bool = True

    def fetch(self, place: DataPlace) -> Path:
        if not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", self.name):
            raise UsageError(
                f"a set of the Hub is named hf:<owner>/<name>, such as hf:Matthijs/snacks, not {self.name!r}"
            )
        for base in bases(place):
            for copy in (base / "hf" / self.name, base / self.name):
                if copy.is_dir():
                    return copy
        return hub_snapshot(self.name, self.revision, place, KINDS, f"hf:{self.name}")

    def load(self, place: DataPlace) -> Collection:
        folder = self.fetch(place)
        tables = sorted(folder.rglob("*.parquet"))
        if tables:
            parts, left_out = self._from_tables(folder, tables, place)
        else:
            parts, left_out = _from_files(folder, place)
        parts, by_class = tested(parts, folder)
        listing = Listing(slug("hf", self.name), folder, parts, left_out, by_class=by_class)
        return collect(listing, place, DecodeRecipe(resize=self.resize), mirror=self.mirror)

    def _from_tables(self, folder: Path, tables: list[Path], place: DataPlace) -> tuple[dict[str, Part], Counter[str]]:
        found: dict[str, tuple[list[Source], list[str]]] = {}
        left_out = Counter[str]()
        for table in _of_config(folder, tables, self.config):
            columns = columns_of(table, self.label, folder / README)
            read = read_parquet(table, place.cache, columns.label, columns.image)
            paths, labels = found.setdefault(_part_of(table.relative_to(folder)), ([], []))
            for image, value in zip(read.images, read.cells[columns.label], strict=True):
                number = value if isinstance(value, int) and not isinstance(value, bool) else -1
                label = columns.classes[number] if 0 <= number < len(columns.classes) else tidied(str(value))
                if label in UNLABELLED:
                    left_out["rows without a label"] += 1
                    continue
                paths.append(image)
                labels.append(label)
        return {
            part: Part(tuple(paths), tuple(labels), tuple(f"{part}/{row:05d}" for row in range(len(paths))))
            for part, (paths, labels) in found.items()
            if paths
        }, left_out


def _from_files(folder: Path, place: DataPlace) -> tuple[dict[str, Part], Counter[str]]:
    """Return image files, from archives where there are any; an archive's name, or its folder's, may be its part's."""
    archives = sorted(path for path in folder.rglob("*") if is_archive(path) and path.is_file())
    if not archives:
        return sort_pictures(folder, label_of)
    found, left_out = dict[str, Part](), Counter[str]()
    for archive in archives:
        inside = archive.relative_to(folder)
        parts, left = sort_pictures(as_folder(archive, place), label_of)
        left_out += left
        for inner, one in parts.items():
            part = inner or _part_of(inside)
            before = found.get(part, Part((), (), ()))
            ids = tuple(f"{inside.as_posix()}/{name}" for name in one.ids)
            found[part] = Part(before.paths + one.paths, before.labels + one.labels, before.ids + ids)
    return found, left_out


def _of_config(folder: Path, tables: list[Path], config: str) -> list[Path]:
    """Return the tables of one configuration: of the one that is asked for, or the only one, or the default one."""
    by_config: dict[str, list[Path]] = {}
    for table in tables:
        above = [name for name in table.relative_to(folder).parts[:-1] if name.lower() not in ("data", *PART_NAMES)]
        by_config.setdefault("/".join(above) or "default", []).append(table)
    wanted = config or ("default" if "default" in by_config else next(iter(by_config)))
    if wanted not in by_config or (not config and len(by_config) > 1 and "default" not in by_config):
        raise DataError(
            f"{folder}: which configuration? Give --set datasets.hf.config=NAME "
            f"(found: {first_few(list(by_config), 10)})"
        )
    return by_config[wanted]


def _part_of(path: Path) -> str:
    """Return the part that a file's name, or else a folder above it, is named after; train where none is."""
    words = [word for name in reversed(path.parts) for word in re.split(r"[^a-z]+", name.lower())]
    return next((PART_NAMES[word] for word in words if word in PART_NAMES), "train")
