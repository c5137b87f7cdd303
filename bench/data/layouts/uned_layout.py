"""UnED's lists of images: a folder of JSON files for each domain, and one folder of images for all of them.

``data/info_files/<domain>/{train,val,test,index}.json`` are lists of ``{"path": ..., "class_id": ...}``, with paths
below ``data/images``; a class_id is a number, or a list of them. Test images ask the index, or each other without one.
Source: Ypsilantis et al., Towards Universal Image Embeddings, ICCV 2023,
https://github.com/nikosips/Universal-Image-Embeddings at its convert_to_tfrecord_from_file.py.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bench.contract import DataError, Relevance
from bench.data.decoding.image_source import on_disk
from bench.data.layouts.listing import Listing, Part
from bench.naming import first_few, id_of, reason_of, slug, tidied, why_no_name

LISTS = "info_files"  # the folder that holds a folder for each domain
IMAGES = "images"  # beside it
TRAIN, TEST, INDEX, VALIDATION = "train.json", "test.json", "index.json", "val.json"


@dataclass(frozen=True)
class _Row:
    """An image: where it lies, its id, and the classes that it shows."""

    path: str
    id: str
    classes: tuple[int, ...]


def is_uned(folder: Path) -> bool:
    """Whether a folder holds UnED's lists of one domain."""
    return folder.resolve().parent.name == LISTS and (folder / TEST).is_file()


def list_uned(folder: Path) -> Listing:
    """List the images of one domain.

    Its test classes are not those of its train list. Where an image that asks shows several classes, lists say what
    answers it: the images of the index that show one of them. The classes of ``val.json`` are new, too; it is read only
    where they are train's.

    Raises:
        DataError: A list is not there or no such list, or an image is not in the folder of images.
    """
    folder = folder.resolve()
    images = folder.parent.parent / IMAGES
    rows = {
        file: _rows(folder / file, images) for file in (TRAIN, TEST, INDEX, VALIDATION) if (folder / file).is_file()
    }
    parts = {"train": _part(rows.get(TRAIN, []))}
    known = {one for row in rows.get(TRAIN, []) for one in row.classes}
    notes = []
    if VALIDATION in rows and {one for row in rows[VALIDATION] for one in row.classes} <= known:
        parts["validation"] = _part(rows[VALIDATION])
    elif VALIDATION in rows:
        notes.append(f"{VALIDATION} is not read: its classes are not those of {TRAIN}")
    if INDEX not in rows:
        several = [row.id for row in rows[TEST] if len(row.classes) != 1]
        if several:
            raise DataError(
                f"{folder / TEST}: {several[0]} is not of one class; what answers it must stand in an {INDEX}"
            )
        parts |= dict.fromkeys(("test", "query", "gallery"), _part(rows[TEST]))  # each asks all others
    else:
        parts |= {"query": _asking(rows[TEST], rows[INDEX]), "gallery": _part(rows[INDEX])}
    return Listing(
        f"uned-{slug(folder.name)}",
        folder,
        parts,
        warnings=tuple(notes),
        by_class="tested on classes that are not in the train part, as UnED's lists have them",
    )


def _part(rows: list[_Row]) -> Part:
    """Return rows as a part; one of several classes has them all as its label, which decides nothing then."""
    return Part.of((row.path, " ".join(map(str, row.classes)) or "none", row.id) for row in rows)


def _asking(asked: list[_Row], searched: list[_Row]) -> Part:
    """Return the part that asks: with lists where labels do not say what answers it."""
    part = _part(asked)
    if all(len(row.classes) == 1 for row in (*asked, *searched)):
        return part
    members: dict[int, list[str]] = {}
    for row in searched:
        for one in row.classes:
            members.setdefault(one, []).append(row.id)
    found = (dict.fromkeys(name for one in row.classes for name in members.get(one, ())) for row in asked)
    return replace(part, relevance=Relevance(positives=tuple(map(tuple, found))))


def _rows(file: Path, images: Path) -> list[_Row]:
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{file}: no list of images ({reason_of(error)})") from error
    if not isinstance(content, list):
        raise DataError(f"{file}: must be a list of records with path and class_id")
    met: dict[str, dict[str, str]] = {}
    rows, missing = [], []
    for number, record in enumerate(content, start=1):
        name = record.get("path") if isinstance(record, dict) else None
        if not isinstance(name, str) or not name or "class_id" not in record:
            raise DataError(f"{file}: record {number} has not both a path and a class_id")
        if problem := why_no_name(tidied(name)):
            raise DataError(f"{file}: record {number}: the path {problem}")
        path = _lying(images, name, met)
        if path is None:
            missing.append(name)
        rows.append(_Row(path or name, id_of(path, images) if path else name, _classes(file, number, record)))
    if missing:
        raise DataError(f"{file}: {len(missing):,} of its images are not in {images}: {first_few(missing)}")
    return rows


def _classes(file: Path, number: int, record: Mapping[str, object]) -> tuple[int, ...]:
    value = record["class_id"]
    found = value if isinstance(value, list) else [value]
    if not all(isinstance(one, int) and not isinstance(one, bool) for one in found):
        raise DataError(f"{file}: record {number}: class_id must be a whole number or a list of them")
    return tuple(dict.fromkeys(found))


def _lying(images: Path, name: str, met: dict[str, dict[str, str]]) -> str | None:
    """Return where an image lies, None where it does not; RP2K's letters may be spelled as ``#U4e00`` there."""
    spelled = name.encode("unicode-escape").decode("ascii").replace("\\u", "#U").replace("\\x", "#U00")
    for one in dict.fromkeys((name, spelled)):
        path = on_disk(str(images / one), met)
        if os.path.isfile(path):
            return path
    return None
