"""A folder of images: one subfolder a class, with or without train/, validation/ and test/ above them."""

from __future__ import annotations

import filecmp
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from bench.contract import DataError
from bench.data.decoding.decode_image import SUFFIXES
from bench.data.layouts.listing import Listing, Part, suffix_of, unread_pictures, with_test
from bench.data.layouts.split_folders import Look, find_parts, part_of_name, refuse_parts_among_classes
from bench.data.splits.protocols import VALIDATION_FRACTION, holdout
from bench.data.splits.splits import class_cut, stratified_cut
from bench.naming import first_few, id_of, natural_key, naturally, readable, slug, tidied

LabelFrom = Literal["outer", "inner"]

# What cameras, phones and photo programs call folders: 2024-05-01, 20240501, "2024 05 Rome", May 2024, 100CANON, DCIM.
_MONTH = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
ALBUM = re.compile(
    r"(?:19|20)\d\d(?:[-_. ]?(?:0[1-9]|1[0-2])(?:[-_. ]?(?:0[1-9]|[12]\d|3[01]))?)?(?:\b.*)?"
    rf"|(?:\d{{1,2}}[ .])?(?:{_MONTH})[a-z]*[ ,.]+(?:\d{{1,2}},? )?(?:19|20)\d\d"
    r"|\d{1,2}[-.]\d{1,2}[-.](?:19|20)\d\d|1\d\d_?[A-Z][A-Z0-9]{3,4}"
    r"|dcim|camera(?: roll)?|screenshots|whatsapp images",
    re.IGNORECASE,
)
# Folders of file servers, systems and archivers: thumbnails, bins, snapshots.
LEFT_BEHIND = frozenset(
    (
        "__macosx", "@eadir", "@__thumb", "@recycle", "@recently-snapshot", "@tmp", "#recycle", "#snapshot",
        "$recycle.bin", "recycler", "system volume information", "lost+found", "network trash folder",
        "temporary items", "__pycache__",
    )
)  # fmt: skip


def list_folder(
    root: Path, *, test_fraction: float = 0.3, split_seed: int = 0, label_from: LabelFrom = "outer"
) -> Listing:
    """List a folder of images, with classes in natural order and relative paths as ids.

    Where there are no split folders (see `split_folders`), a seeded, stratified cut gives a share of ``test_fraction``
    to the test part; each class with two images or more is in both, or, where most have too few for that, in one part
    only. label_from: see ``label_of``. Hidden files are passed over, and files that are no images, or lie in no class,
    are counted.
    Raises DataError for a folder that is not laid out so.
    """
    if not root.is_dir():
        raise DataError(f"{root}: {'a file, not a folder' if root.exists() else 'no such folder'}")
    by_class = ""
    splits = find_parts(root, _looks(root))
    if splits:
        found = {name: read_classes(folder, root, part=True, label_from=label_from) for name, folder in splits.items()}
        parts = with_test(_queries_named({name: part for name, (part, _) in found.items()}, splits), root)
        left_out = sum((left for _, left in found.values()), _beside(root, splits.values()))
    else:
        whole, left_out = read_classes(root, root, label_from=label_from)
        parts, by_class = cut(whole, test_fraction, split_seed)
    labels = naturally(label for part in parts.values() for label in part.labels)
    return Listing(slug(root.resolve().name), root, parts, left_out, _like_an_album(labels), by_class=by_class)


def is_flat(folder: Path) -> bool:
    """Whether a folder has pictures directly in it and no folder: nothing that could be a class."""
    if not folder.is_dir():
        return False
    inside = visible(folder, ordered=False)
    return not any(map(_is_folder, inside)) and any(is_image(entry.name) for entry in inside)


def read_classes(
    folder: Path, root: Path, *, part: bool = False, label_from: LabelFrom = "outer"
) -> tuple[Part, Counter[str]]:
    """Return the images of a folder of class folders, and what was left out, counted by suffix.

    Ids are relative to ``root``. part: the folder is a part, in which no other part may lie. label_from: see
    ``label_of``.
    """
    subfolders: list[os.DirEntry[str]] = []
    loose: list[os.DirEntry[str]] = []
    for entry in visible(folder):
        (subfolders if _is_folder(entry) else loose).append(entry)
    left_out = Counter(suffix_of(entry.name) for entry in loose)
    if not subfolders:
        count = sum(is_image(entry.name) for entry in loose)
        lying = f"{count} images lie directly in it, and there are" if count else "there are"
        raise DataError(
            f"{folder}: {lying} no class folders in it; put the images of each class into a folder of its own, such as "
            f"{folder / 'cat'}, or name their classes in a manifest (a CSV file with path,label,split)"
        )
    if part:
        refuse_parts_among_classes(folder, _looks(folder))
    paths: list[str] = []
    labels: list[str] = []
    empty: list[str] = []
    for subfolder in subfolders:
        before, label = len(paths), tidied(readable(subfolder.name))
        for path, image in walk(subfolder.path):
            if image:
                paths.append(path)
                labels.append(label if label_from == "outer" else _folder_of(path))
            else:
                left_out[suffix_of(path)] += 1
        if len(paths) == before:
            empty.append(label)
    if empty:
        what = f"class folders without an image: {first_few(empty)}; fill or delete them"
        raise DataError(f"{folder}: {what}{unread_pictures(left_out)}")
    return Part(tuple(paths), tuple(labels), tuple(id_of(path, root) for path in paths)), left_out


def _like_an_album(labels: Sequence[str]) -> tuple[str, ...]:
    """Return a warning where half of the folders are named as cameras and albums name them, else nothing."""
    named = [label for label in labels if ALBUM.fullmatch(label)]
    if 2 * len(named) < max(2, len(labels)):
        return ()
    return (
        f"folders named like an album's, by day or camera ({first_few(named)}): are these classes of what is shown?",
    )


def _looks(root: Path) -> Iterator[Look]:
    """Yield a look at each subfolder that holds pictures or is named like a part."""
    for entry in visible(root):
        if not _is_folder(entry):
            continue
        inside = visible(entry.path, ordered=False)
        folders = [inner.name for inner in inside if _is_folder(inner)]
        pictures = any(is_image(inner.name) and not _is_folder(inner) for inner in inside)  # the first will do
        look = Look(Path(entry.path), pictures, frozenset(folders))
        if pictures or look.part or any(image for _, image in walk(entry.path)):
            yield look


def _beside(root: Path, parts: Iterable[Path]) -> Counter[str]:
    """Count the files beside the split folders, those in other folders too."""
    known, found = {folder.name for folder in parts}, Counter[str]()
    for entry in visible(root):
        if not _is_folder(entry):
            found[suffix_of(entry.name)] += 1
        elif entry.name not in known:
            found.update(suffix_of(path) for path, _ in walk(entry.path))
    return found


def _queries_named(parts: dict[str, Part], folders: Mapping[str, Path]) -> dict[str, Part]:
    """Return the parts, a query that lies, the same, in the gallery's folder too under its id there."""
    if not {"query", "gallery"} <= set(parts):
        return parts
    query, gallery = parts["query"], dict(zip(map(str, parts["gallery"].paths), parts["gallery"].ids, strict=True))
    ids = list(query.ids)
    for row, path in enumerate(map(str, query.paths)):
        there = str(folders["gallery"] / Path(path).relative_to(folders["query"]))
        if there in gallery and filecmp.cmp(path, there, shallow=False):
            ids[row] = gallery[there]
    return parts | {"query": Part(query.paths, query.labels, tuple(ids))}


def label_of(name: str, parts: Collection[str], label_from: LabelFrom) -> str | None:
    """Return the label of a picture by its path within a folder of class folders; None for one directly in it.

    parts: the names of the folders that are parts, which are no label. label_from: of the folders on the way, the
    "outer" one, which is the first, or the "inner" one, in which the picture lies.
    """
    first, _, rest = name.partition("/")
    if first in parts:
        first, _, rest = rest.partition("/")
    if not rest:
        return None
    inner = rest.rpartition("/")[0].rpartition("/")[2] if label_from == "inner" else ""
    return tidied(readable(inner or first))


def _folder_of(path: str) -> str:
    return tidied(readable(os.path.basename(os.path.dirname(path))))


def parts_among(names: Sequence[str]) -> frozenset[str]:
    """Return which of the first folders on the way to pictures are parts; none where that could be meant in two ways.

    names: of pictures, relative to the folder that these lie in.
    """
    tops = {name.partition("/")[0] for name in names if "/" in name}
    if not any(map(part_of_name, tops)):
        return frozenset()
    seconds: dict[str, set[str]] = {top: set() for top in tops}
    for name in names:
        top, _, rest = name.partition("/")
        if rest:
            seconds[top].add(rest.partition("/")[0] if "/" in rest else "")
    looks = [Look(Path(top), "" in inner, frozenset(inner - {""})) for top, inner in seconds.items()]
    try:
        return frozenset(folder.name for folder in find_parts(Path(), looks).values())
    except DataError:
        return frozenset()


def is_image(name: str) -> bool:
    """Whether a file's suffix is one of an image format."""
    return os.path.splitext(name)[1].lower() in SUFFIXES


def visible(folder: Path | str, *, ordered: bool = True) -> list[os.DirEntry[str]]:
    """Return what lies directly in a folder, in natural order, without what is hidden or systems leave behind."""
    try:
        with os.scandir(folder) as found:
            entries = [one for one in found if one.name[0] != "." and one.name.lower() not in LEFT_BEHIND]
    except OSError as error:
        raise DataError(f"{readable(str(folder))}: cannot be read ({error.strerror})") from error
    return sorted(entries, key=lambda entry: natural_key(entry.name)) if ordered else entries


def walk(folder: Path | str) -> Iterator[tuple[str, bool]]:
    """Yield every visible file under a folder, in natural order, and whether it is to be decoded.

    Links are followed, but no folder is entered twice. Whatever bears an image's name is to be decoded, or to be
    reported as broken: a dangling link, a named pipe, an empty folder.
    """
    seen = {_identity(folder)}
    under_way = [iter(visible(folder))]
    while under_way:
        entry = next(under_way[-1], None)
        if entry is None:
            under_way.pop()
        elif not _is_folder(entry):
            image = is_image(entry.name)
            if image or _is_file(entry):
                yield entry.path, image
        elif (here := _identity(entry.path)) not in seen:
            seen.add(here)
            inner = visible(entry.path)
            if not inner and is_image(entry.name):
                yield entry.path, True
            under_way.append(iter(inner))


def _identity(folder: Path | str) -> tuple[int, int]:
    about = os.stat(folder)
    return about.st_dev, about.st_ino


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # likewise
        return False


_FEWEST_CLASSES = 10  # with fewer, a cut by class leaves two or three to test on


def cut(whole: Part, test_fraction: float, seed: int) -> tuple[dict[str, Part], str]:
    """Cut images into train and test, and return the parts, and why they were cut by class if they were.

    Each class is cut by itself: with two images or more it is in both. Where most classes would have one image to test
    on, which nothing could find, whole classes are tested on instead, and others validated on.
    """
    names = naturally(whole.labels)
    numbers = {name: number for number, name in enumerate(names)}
    labels = np.array([numbers[label] for label in whole.labels], np.int64)
    rest, taken = stratified_cut(labels, test_fraction, seed, least=1)
    counts, tested = (np.bincount(some, minlength=len(names)) for some in (labels, labels[taken]))
    lone = int((tested == 1).sum())
    if 2 * lone < (tested > 0).sum() or (counts > 1).sum() < _FEWEST_CLASSES:
        return {"train": whole.only(rest.tolist()), "test": whole.only(taken.tolist())}, ""
    parts = class_cut(labels, test_fraction, VALIDATION_FRACTION, seed)
    shown = [len(np.unique(labels[parts == part])) for part in range(3)]
    why = (
        f"split by class: {shown[0]} classes to learn from, {shown[1]} others to validate on, {shown[2]} others to "
        f"test on (protocol {holdout.__name__}: one picture of each asks, or a fifth, and the others answer). "
        f"With {np.median(counts):g} pictures a class (median), a split of each class would leave {lone:,} of "
        f"{int((tested > 0).sum()):,} classes one picture to test on, which nothing can find"
    )
    named = enumerate(("train", "validation", "test"))
    return {name: whole.only(np.flatnonzero(parts == part).tolist()) for part, name in named}, why
