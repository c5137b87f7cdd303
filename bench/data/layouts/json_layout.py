"""A folder with train/, query_images/ and gallery/, and two JSON files that give the label of each image.

``train_image_info.json`` is for train/, ``test_image_info.json`` for the other two: either a mapping of file name to
label, or a list of records such as ``{"filename": "1.jpg", "label": "cat"}``.
"""

from __future__ import annotations

import filecmp
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bench.contract import DataError
from bench.data.decoding.image_source import on_disk
from bench.data.formats.csv_table import not_utf8
from bench.data.layouts.folder import walk
from bench.data.layouts.listing import Listing, Part, suffix_of
from bench.naming import first_few, id_of, naturally, reason_of, slug, tidied, why_no_name

TRAIN_INFO, TEST_INFO = "train_image_info.json", "test_image_info.json"
TRAIN, QUERY, GALLERY = "train", "query_images", "gallery"
NAME_KEYS = ("filename", "image", "path")


def list_json_layout(root: Path) -> Listing:
    """List a folder in this layout. A file that lies, the same, in query_images/ and gallery/ has one id in both."""
    absent = [name for name in (TRAIN_INFO, TEST_INFO) if not (root / name).is_file()]
    absent += [f"{name}/" for name in (TRAIN, QUERY, GALLERY) if not (root / name).is_dir()]
    if absent:
        raise DataError(f"{root}: no {', '.join(absent)} in it; this layout needs two JSON files and three folders")
    infos = [_read(root / info) for info in (TRAIN_INFO, TEST_INFO)]
    train = _placed(root, TRAIN_INFO, infos[0].labels, [TRAIN])
    test = _placed(root, TEST_INFO, infos[1].labels, [QUERY, GALLERY])
    parts = {
        "train": Part.of((found[TRAIN], label, id_of(found[TRAIN], root)) for found, label in train),
        "query": Part.of((found[QUERY], label, _query_id(root, found)) for found, label in test if QUERY in found),
        "gallery": Part.of(
            (found[GALLERY], label, id_of(found[GALLERY], root)) for found, label in test if GALLERY in found
        ),
    }
    named = {path for part in parts.values() for path in part.paths}
    met = (path for folder in (TRAIN, QUERY, GALLERY) for path, _ in walk(root / folder))
    left_out = Counter(suffix_of(path) for path in met if path not in named)
    unread = naturally(key for info in infos for key in info.unread)
    warnings = (f"keys that nothing reads: {first_few(unread, 10)}",) if unread else ()
    return Listing(slug(root.resolve().name), root, parts, left_out, warnings)


@dataclass(frozen=True)
class _Info:
    """labels: by file name; unread: keys of its records that mean nothing here."""

    labels: dict[str, str]
    unread: set[str]


def _placed(root: Path, info: str, labels: dict[str, str], folders: list[str]) -> list[tuple[dict[str, str], str]]:
    """Return for each name of a JSON file where it lies, by folder, and its label. Raises DataError if nowhere."""
    placed, missing = [], []
    met: dict[str, dict[str, str]] = {}
    for name, label in labels.items():
        lying = {folder: on_disk(str(root / folder / name), met) for folder in folders}
        found = {folder: path for folder, path in lying.items() if os.path.isfile(path)}
        top = PurePosixPath(name).parts[:1]
        whole = on_disk(str(root / name), met)
        if not found and top and top[0] in folders and os.path.isfile(whole):  # written relative to the root
            found = {top[0]: whole}
        placed.append((found, label))
        if not found:
            missing.append(name)
    if missing:
        where = " or ".join(f"{folder}/" for folder in folders)
        raise DataError(f"{root / info}: {len(missing):,} of its images are not in {where}: {first_few(missing)}")
    return placed


def _query_id(root: Path, found: Mapping[str, str]) -> str:
    query, gallery = found[QUERY], found.get(GALLERY)
    same = gallery is not None and filecmp.cmp(query, gallery, shallow=False)
    return id_of(gallery if same and gallery else query, root)


def _read(file: Path) -> _Info:
    """Return the label of each file name. Raises DataError that names the entry that is wrong."""
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise DataError(f"{file}: line {error.lineno}, column {error.colno}: not valid JSON ({error.msg})") from error
    except UnicodeDecodeError as error:
        raise not_utf8(file) from error
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; brackets in thousands of brackets
        raise DataError(f"{file}: no list of images ({reason_of(error)})") from error
    found = _Info({}, set())
    for number, (entry, label) in enumerate(_entries(file, content, found.unread), start=1):
        name = tidied(entry) if isinstance(entry, str) else ""
        if not _is_file_name(name):
            raise DataError(f"{file}: record {number}: {_shown(entry)} is no file name")
        text = tidied(str(label)) if isinstance(label, str | int) and not isinstance(label, bool) else ""
        if not text:
            raise DataError(f"{file}: the label of {name!r} is {_shown(label)}; it must be a text or a whole number")
        if problem := why_no_name(text):
            raise DataError(f"{file}: record {number}: the label {problem}")
        if found.labels.setdefault(name, text) != text:
            raise DataError(f"{file}: {name!r} has two labels, {found.labels[name]!r} and {text!r}")
    return found


def _is_file_name(name: str) -> bool:
    """Whether a file may have a name; bytes that are no text stand in it as Python has them."""
    try:
        return bool(os.fsencode(name)) and "\0" not in name
    except UnicodeEncodeError:
        return False


def _shown(value: object) -> str:
    """Return a value of the file as an error names it, cut where it is long or deep."""
    text = "a list or mapping" if isinstance(value, list | dict) else repr(value)
    return text if len(text) < 200 else f"{text[:200]}..."


def _entries(file: Path, content: object, unread: set[str]) -> Iterator[tuple[object, object]]:
    if isinstance(content, dict):
        yield from content.items()
        return
    if not isinstance(content, list):
        raise DataError(f"{file}: must be a mapping of file name to label, or a list of records")
    for number, record in enumerate(content, start=1):
        keys = [key for key in NAME_KEYS if key in record] if isinstance(record, dict) else []
        if not keys or "label" not in record:
            raise DataError(f"{file}: record {number} has not both a {' (or '.join(NAME_KEYS[:2])}, path) and a label")
        unread.update(key for key in record if key not in (keys[0], "label"))
        yield record[keys[0]], record["label"]
