"""A folder of images: one subfolder a class, with or without train/, validation/ and test/ above them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench.contract import DataError
from bench.data.listing import SPLIT_NAMES, Listing, Part, with_test
from bench.data.naming import first_few, id_of, natural_key, naturally, readable, slug
from bench.data.splits import stratified_cut

SUFFIXES = frozenset(
    ".bmp .gif .jfif .jpe .jpeg .jpg .pbm .pgm .png .pnm .ppm .tif .tiff .webp".split()  # noqa: SIM905 - reads better
)


def list_folder(root: Path, *, test_fraction: float = 0.3, split_seed: int = 0) -> Listing:
    """List a folder of images, with classes in natural order and relative paths as ids.

    Where there are no split folders, a seeded, stratified cut gives a share of ``test_fraction`` to the test part; each
    class with two images or more is in both. Hidden files are passed over, and files that are no images are counted.
    Raises DataError for a folder that is not laid out so.
    """
    if not root.is_dir():
        raise DataError(f"{root}: {'a file, not a folder' if root.exists() else 'no such folder'}")
    splits = _split_folders(root)
    found = {name: read_classes(folder, root) for name, folder in splits.items()}
    if found:
        parts = with_test({name: part for name, (part, _) in found.items()}, root)
        ignored = sum(count for _, count in found.values())
    else:
        whole, ignored = read_classes(root, root)
        parts = _cut(whole, test_fraction, split_seed)
    return Listing(slug(root.resolve().name), root, parts, ignored)


def read_classes(folder: Path, root: Path) -> tuple[Part, int]:
    """Return the images of a folder of class folders, and how many files were ignored. Ids are relative to ``root``."""
    subfolders = sorted((entry for entry in visible(folder) if entry.is_dir()), key=lambda path: natural_key(path.name))
    loose = [entry for entry in visible(folder) if entry.is_file()]
    ignored = len(loose)
    if not subfolders:
        count = sum(is_image(path) for path in loose)
        lying = f"{count} images lie directly in it, and there are" if count else "there are"
        raise DataError(
            f"{folder}: {lying} no class folders in it; put the images of each class into a folder of its own, such as "
            f"{folder / 'cat'}, or name their classes in a manifest (a CSV file with path,label,split)"
        )
    paths: list[Path] = []
    labels: list[str] = []
    empty: list[str] = []
    for subfolder in subfolders:
        files = list(walk(subfolder))
        images = [path for path in files if is_image(path)]
        ignored += len(files) - len(images)
        paths += images
        labels += [readable(subfolder.name)] * len(images)
        if not images:
            empty.append(readable(subfolder.name))
    if empty:
        raise DataError(f"{folder}: class folders without an image: {first_few(empty)}; fill or delete them")
    return Part(tuple(paths), tuple(labels), tuple(id_of(path, root) for path in paths)), ignored


def is_image(path: Path) -> bool:
    """Whether a file's suffix is one of an image format."""
    return path.suffix.lower() in SUFFIXES


def visible(folder: Path) -> list[Path]:
    """Return what lies directly in a folder, in natural order, without hidden files and folders."""
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror})") from error
    return [folder / name for name in sorted(names, key=natural_key) if not name.startswith((".", "__MACOSX"))]


def walk(folder: Path, above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[Path]:
    """Yield every visible regular file under a folder, in natural order, through links but never in a circle."""
    about = folder.stat()
    here = (about.st_dev, about.st_ino)
    if here in above:
        return
    for entry in visible(folder):
        if entry.is_dir():
            yield from walk(entry, above | {here})
        elif entry.is_file():
            yield entry


def _split_folders(root: Path) -> dict[str, Path]:
    """Return the split folders by part, or nothing where the folders are classes."""
    folders = [entry for entry in visible(root) if entry.is_dir()]
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


def _cut(whole: Part, test_fraction: float, seed: int) -> dict[str, Part]:
    classes = {name: number for number, name in enumerate(naturally(whole.labels))}
    labels = np.array([classes[label] for label in whole.labels], np.int64)
    rest, taken = stratified_cut(labels, test_fraction, seed, least=1)
    return {"train": whole.only(rest.tolist()), "test": whole.only(taken.tolist())}
