"""A folder of images: one subfolder a class, with or without train/, validation/ and test/ above them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench.contract import DataError
from bench.data.layouts.listing import SPLIT_NAMES, Listing, Part, with_test
from bench.data.splits.protocols import VALIDATION_FRACTION, holdout
from bench.data.splits.splits import class_cut, stratified_cut
from bench.naming import first_few, id_of, natural_key, naturally, readable, slug

SUFFIXES = frozenset(
    ".bmp .gif .jfif .jpe .jpeg .jpg .pbm .pgm .png .pnm .ppm .tif .tiff .webp".split()  # noqa: SIM905 - reads better
)


def list_folder(root: Path, *, test_fraction: float = 0.3, split_seed: int = 0) -> Listing:
    """List a folder of images, with classes in natural order and relative paths as ids.

    Where there are no split folders, a seeded, stratified cut gives a share of ``test_fraction`` to the test part; each
    class with two images or more is in both, or, where most have too few for that, in one part only. Hidden files are
    passed over, and files that are no images are counted.
    Raises DataError for a folder that is not laid out so.
    """
    if not root.is_dir():
        raise DataError(f"{root}: {'a file, not a folder' if root.exists() else 'no such folder'}")
    splits, by_class = _split_folders(root), ""
    found = {name: read_classes(folder, root) for name, folder in splits.items()}
    if found:
        parts = with_test({name: part for name, (part, _) in found.items()}, root)
        ignored = sum(count for _, count in found.values())
    else:
        whole, ignored = read_classes(root, root)
        parts, by_class = cut(whole, test_fraction, split_seed)
    return Listing(slug(root.resolve().name), root, parts, ignored, by_class=by_class)


def read_classes(folder: Path, root: Path) -> tuple[Part, int]:
    """Return the images of a folder of class folders, and how many files were ignored. Ids are relative to ``root``."""
    subfolders: list[os.DirEntry[str]] = []
    loose: list[os.DirEntry[str]] = []
    for entry in visible(folder):
        (subfolders if _is_folder(entry) else loose).append(entry)
    ignored = len(loose)
    if not subfolders:
        count = sum(is_image(entry.name) for entry in loose)
        lying = f"{count} images lie directly in it, and there are" if count else "there are"
        raise DataError(
            f"{folder}: {lying} no class folders in it; put the images of each class into a folder of its own, such as "
            f"{folder / 'cat'}, or name their classes in a manifest (a CSV file with path,label,split)"
        )
    paths: list[str] = []
    labels: list[str] = []
    empty: list[str] = []
    for subfolder in subfolders:
        before, label = len(paths), readable(subfolder.name)
        for path, image in walk(subfolder.path):
            if image:
                paths.append(path)
            else:
                ignored += 1
        labels += [label] * (len(paths) - before)
        if len(paths) == before:
            empty.append(label)
    if empty:
        raise DataError(f"{folder}: class folders without an image: {first_few(empty)}; fill or delete them")
    return Part(tuple(paths), tuple(labels), tuple(id_of(path, root) for path in paths)), ignored


def is_image(name: str) -> bool:
    """Whether a file's suffix is one of an image format."""
    return os.path.splitext(name)[1].lower() in SUFFIXES


def visible(folder: Path | str) -> list[os.DirEntry[str]]:
    """Return what lies directly in a folder, in natural order, without hidden files and folders."""
    try:
        with os.scandir(folder) as found:
            entries = [entry for entry in found if not entry.name.startswith((".", "__MACOSX"))]
    except OSError as error:
        raise DataError(f"{readable(str(folder))}: cannot be read ({error.strerror})") from error
    return sorted(entries, key=lambda entry: natural_key(entry.name))


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


def _split_folders(root: Path) -> dict[str, Path]:
    """Return the split folders by part, or nothing where the folders are classes."""
    folders = [root / entry.name for entry in visible(root) if _is_folder(entry)]
    found: dict[str, Path] = {}
    for folder in folders:
        part = SPLIT_NAMES.get(folder.name.lower())
        if part in found:
            raise DataError(f"{root}: {found[part].name}/ and {folder.name}/ are both the {part} part; keep one")
        if part:
            found[part] = folder
    if "train" in found and len(found) > 1:
        return found
    if found and len(found) == len(folders):
        lone = next(iter(found.values()))
        raise DataError(
            f"{root}: only {lone.name}/ in it; add {'test' if 'train' in found else 'train'}/ beside it, or give "
            f"{lone} itself to have it cut into train and test"
        )
    return {}


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
