"""Words that name a part of a data set; which subfolders of a folder are parts, and which are classes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.contract import DataError
from bench.naming import first_few, readable

_WORDS = {
    "train": "train training",
    "validation": "val valid validation dev devel development",
    "test": "test testing eval evaluation holdout",
    "query": "query queries probe probes",
    "gallery": "gallery galleries database",
}
SPLIT_NAMES = {word: part for part, words in _WORDS.items() for word in words.split()}
# Of re-identification sets (Market-1501, VeRi-776), whose queries search what they call test.
_SEARCHED = ("boundingboxtest", "imagetest")
_AROUND = r"(?:images?|imgs?|pictures?|pics|photos?|data|dataset|set|split|boundingbox|bbox|all|full)"
_NAMED = re.compile(rf"{_AROUND}*?({'|'.join(sorted(SPLIT_NAMES, key=len, reverse=True))}){_AROUND}*")
_DOMAIN = re.compile(r"(?:train|test|val)[A-D]")  # trainA, trainB: one part in two styles
_FOLD = re.compile(r"(?:fold|split|part|batch|chunk|shard)[-_ ]?\d+", re.IGNORECASE)
_PICTURES = ("images", "image", "imgs", "img")
_ABOUT_THEM = ("masks", "mask", "labels", "label", "annotations", "segmentations", "gt", "groundtruth", "thumbnails")
VEHICLE = "train"  # the one of these words that is a class in published sets too


def part_of_name(name: str) -> str | None:
    """Return the part that a folder's name stands for (``Training_Set``, ``test_images``, ``val2017``), or None."""
    letters = re.sub(r"[\W\d_]", "", name).lower()
    if letters in _SEARCHED:
        return "gallery"
    match = _NAMED.fullmatch(letters[:-1] if _DOMAIN.fullmatch(name) else letters)
    return SPLIT_NAMES[match.group(1)] if match else None


@dataclass(frozen=True)
class Look:
    """A subfolder at a glance. pictures: whether some lie directly in it; folders: the names of those in it."""

    path: Path
    pictures: bool
    folders: frozenset[str]

    @property
    def name(self) -> str:
        return readable(self.path.name)

    @property
    def part(self) -> str | None:
        return part_of_name(self.path.name)


def find_parts(root: Path, looks: Iterable[Look]) -> dict[str, Path]:
    """Return the subfolders that are parts, by part; nothing where all are classes.

    looks: subfolders that hold pictures, or are named like parts. Beside parts others may stand, which then are in
    none. Raises DataError, with what would be right, for what could be meant in two ways.
    """
    looks = list(looks)
    named, others = [look for look in looks if look.part], [look for look in looks if not look.part]
    if not named or _is_vehicle(named, others):
        _refuse_parts_in_classes(root, others)
        _refuse_no_classes(root, others)
        return {}
    found: dict[str, Path] = {}
    for look in named:
        first = found.setdefault(look.part or "", look.path)
        if first != look.path:
            raise DataError(
                f"{root}: {first.name}/ and {look.name}/ are both the {look.part} part by their names; keep one, or "
                "rename them if they are classes"
            )
    _refuse_repeated(root, named, others)
    if others and not ("train" in found and len(found) > 1):
        beside = first_few([f"{look.name}/" for look in others])
        raise DataError(
            f"{root}: {_joined(found)} beside {beside}: a part of the data by its name, or a class? If a class, rename "
            "it (to its plural, say); if a part, put the others into train/ or test/, or move it elsewhere"
        )
    _refuse_incomplete(root, found)
    return found


def refuse_parts_among_classes(folder: Path, looks: Iterable[Look]) -> None:
    """Raise DataError for class folders of a part that are named like parts themselves, a class called train aside."""
    looks = list(looks)
    named, others = [look for look in looks if look.part], [look for look in looks if not look.part]
    if named and not _is_vehicle(named, others):
        raise DataError(
            f"{folder}: {named[0].name}/ in it is named like a part, inside of a part; move it beside {folder.name}/ "
            "if it is one, or rename it if it is a class"
        )
    _refuse_parts_in_classes(folder, others)


def _is_vehicle(named: Sequence[Look], others: Sequence[Look]) -> bool:
    """Whether all that is named like a part is a class called train, laid out like the classes beside it."""
    if len(named) != 1 or named[0].name.lower() != VEHICLE or not others:
        return False
    train = named[0]
    if train.folders & {look.name for look in others}:
        return False
    return train.pictures or any(train.folders & look.folders for look in others)


def _refuse_repeated(root: Path, named: Sequence[Look], others: Sequence[Look]) -> None:
    """Refuse class folders beside a part that holds the same ones: are they what is trained on, or all there is?"""
    beside = {look.path.name for look in others}
    for look in named:
        again = sorted(map(readable, look.folders & beside))
        if again:
            other = "test" if look.part == "train" else "train"
            raise DataError(
                f"{root}: {look.name}/ holds folders that stand beside it too ({first_few(again)}); put those beside "
                f"it into {other}/, or move {look.name}/ elsewhere to have the others cut into train and test"
            )


def _refuse_incomplete(root: Path, found: Mapping[str, Path]) -> None:
    """Refuse parts of which none is to test on, and queries without a gallery. Nothing to learn from is needed."""
    if len(found) == 1 and "test" not in found:
        part, lone = next(iter(found.items()))
        absent = {"query": "gallery/", "gallery": "query/"}.get(part, "test/")
        raise DataError(
            f"{root}: only {lone.name}/ in it; add {absent} beside it, or give {lone} itself to have it cut into train "
            "and test"
        )
    for part, other in (("query", "gallery"), ("gallery", "query")):
        if part in found and other not in found:
            rest = [name for name in ("test", "validation") if name in found]
            hint = f"; rename {found[rest[0]].name}/ if it is that" if rest else ""
            raise DataError(f"{root}: {_joined(found)}, but no {other}/, and {part}/ needs it{hint}")


def _refuse_parts_in_classes(root: Path, classes: Sequence[Look]) -> None:
    """Refuse class folders that hold parts (``bag/train``, ``bag/test``): what was set apart would be mixed again."""
    for look in classes:
        inner = sorted(name for name in look.folders if part_of_name(name))
        if len({part_of_name(name) for name in inner}) > 1:
            above = f"put them above it, as {readable(inner[0])}/{look.name}/"
            right = f"give {look.path} itself" if len(classes) == 1 else above
            raise DataError(f"{root}: {look.name}/ holds {' and '.join(f'{readable(one)}/' for one in inner)}; {right}")


def _refuse_no_classes(root: Path, looks: Sequence[Look]) -> None:
    """Refuse folders that divide pictures otherwise than by class: into folds, or into pictures and their masks."""
    in_manifest = "name the images and their classes in a manifest (a CSV file with path,label,split)"
    if len(looks) > 1 and all(_FOLD.fullmatch(look.name) for look in looks):
        raise DataError(
            f"{root}: {first_few([f'{look.name}/' for look in looks])} are folds, not classes; {in_manifest}"
        )
    plain = {re.sub(r"[\W_]", "", look.name).lower(): look.name for look in looks}
    about = [plain[name] for name in _ABOUT_THEM if name in plain]
    if about and any(name in plain for name in _PICTURES):
        raise DataError(f"{root}: {about[0]}/ is about the images beside it, and neither is a class; {in_manifest}")


def _joined(found: Mapping[str, Path]) -> str:
    return " and ".join(f"{folder.name}/" for folder in found.values())
