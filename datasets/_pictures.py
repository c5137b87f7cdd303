"""Published sets that come as image files, in folders or archives, in more than one layout."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from bench import DataError, DataPlace
from bench.data.formats.archives import is_archive, members, unpack_archive
from bench.data.layouts.folder import cut, is_image, walk
from bench.data.layouts.listing import Part, suffix_of, with_test
from bench.data.layouts.split_folders import SPLIT_NAMES
from bench.naming import id_of

LabelOf = Callable[[PurePosixPath], str | None]

PART_NAMES = {  # what folders call a part: its name here
    **SPLIT_NAMES,
    "training_set": "train",
    "validation_set": "validation",
    "test_set": "test",
}
TEST_FRACTION, SEED = 0.3, 0  # of the cut of a set that has no test part of its own


def bases(place: DataPlace) -> list[Path]:
    """Where copies are looked for, best first."""
    return [base for base in (place.root, place.cache) if base is not None]


def find_copy(place: DataPlace, names: Sequence[str], label_of: LabelOf) -> Path | None:
    """Return the first folder or archive of these names that holds a labelled image, or None."""
    for base in bases(place):
        for name in names:
            path = base / name
            if path.is_dir() and any(image and label_of(_inner(found, path)) for found, image in walk(path)):
                return path
            if is_archive(path) and path.is_file() and holds(path, label_of):
                return path
    return None


def holds(archive: Path, label_of: LabelOf) -> bool:
    """Whether an archive has a member that is a labelled image."""
    return any(is_image(member.path.name) and label_of(member.path) is not None for member in members(archive))


def as_folder(path: Path, place: DataPlace, lists: Sequence[str] = ()) -> Path:
    """Return a folder as it is, and an archive as the folder in the cache that its images are unpacked into.

    lists: names of files to unpack besides, which say what the images show.
    """
    if path.is_dir():
        return path
    return unpack_archive(path, place.cache, lambda inner: is_image(inner.name) or inner.name in lists)


def sort_pictures(
    folder: Path, label_of: LabelOf, tops: Iterable[Path] | None = None
) -> tuple[dict[str, Part], Counter[str]]:
    """Return the images below a folder by part, and how many files of each suffix were left out, as without a label.

    The part is that of the first folder on the way which is named after one; where none is, all are in the part "".
    label_of: from a path relative to the folder; tops: the files and folders in it to look at, None for all.
    """
    found: dict[str, tuple[list[str], list[str]]] = {}
    left_out = Counter[str]()
    for top in (folder,) if tops is None else tops:
        for path, image in walk(top) if top.is_dir() else [(str(top), is_image(top.name))]:
            inner = _inner(path, folder)
            label = label_of(inner) if image else None
            if label is None:
                left_out[suffix_of(path)] += 1
                continue
            part = next((PART_NAMES[name.lower()] for name in inner.parts[:-1] if name.lower() in PART_NAMES), "")
            paths, labels = found.setdefault(part, ([], []))
            paths.append(path)
            labels.append(label)
    whole = found.pop("", None) if len(found) > 1 else None  # beside parts, it belongs to none of them
    left_out.update(map(suffix_of, whole[0] if whole else ()))
    parts = {
        name: Part(tuple(paths), tuple(labels), tuple(id_of(path, folder) for path in paths))
        for name, (paths, labels) in found.items()
    }
    return parts, left_out


def listed_picture(home: Path, inner: str, source: Path, line: int) -> str:
    """Return the path of a picture that a list names. Raises DataError where it is not there, or not below the home."""
    path = os.path.join(home, inner)
    if ".." in PurePosixPath(inner).parts or os.path.isabs(inner) or not os.path.lexists(path):
        raise DataError(f"{source}: line {line}: no such picture below {home}: {inner}")
    return path


def tested(parts: Mapping[str, Part], source: Path) -> tuple[dict[str, Part], str]:
    """Return the parts with a test part, and why it is of whole classes where it is.

    The test part is upstream's, else its validation part, else a share of the only part.
    """
    if len(parts) == 1:
        return cut(next(iter(parts.values())), TEST_FRACTION, SEED)
    return with_test(parts, source), ""


def _inner(path: str, folder: Path) -> PurePosixPath:
    return PurePosixPath(os.path.relpath(path, folder).replace(os.sep, "/"))
