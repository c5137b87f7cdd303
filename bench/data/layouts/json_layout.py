"""A folder with train/, query_images/ and gallery/, and two JSON files that give the label of each image.

``train_image_info.json`` is for train/, ``test_image_info.json`` for the other two: either a mapping of file name to
label, or a list of records such as ``{"filename": "1.jpg", "label": "cat"}``.
"""

from __future__ import annotations

import filecmp
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from bench.contract import DataError
from bench.data.layouts.folder import walk
from bench.data.layouts.listing import Listing, Part, suffix_of
from bench.naming import first_few, id_of, slug

TRAIN_INFO, TEST_INFO = "train_image_info.json", "test_image_info.json"
TRAIN, QUERY, GALLERY = "train", "query_images", "gallery"
NAME_KEYS = ("filename", "image", "path")


def list_json_layout(root: Path) -> Listing:
    """List a folder in this layout. A file that lies, the same, in query_images/ and gallery/ has one id in both."""
    absent = [name for name in (TRAIN_INFO, TEST_INFO) if not (root / name).is_file()]
    absent += [f"{name}/" for name in (TRAIN, QUERY, GALLERY) if not (root / name).is_dir()]
    if absent:
        raise DataError(f"{root}: no {', '.join(absent)} in it; this layout needs two JSON files and three folders")
    train = _placed(root, TRAIN_INFO, [TRAIN])
    test = _placed(root, TEST_INFO, [QUERY, GALLERY])
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
    return Listing(slug(root.resolve().name), root, parts, left_out)


def _placed(root: Path, info: str, folders: list[str]) -> list[tuple[dict[str, str], str]]:
    """Return for each name of a JSON file where it lies, by folder, and its label. Raises DataError if nowhere."""
    placed, missing = [], []
    for name, label in _read(root / info).items():
        found = {folder: str(root / folder / name) for folder in folders if (root / folder / name).is_file()}
        top = PurePosixPath(name).parts[0]
        if not found and top in folders and (root / name).is_file():  # written relative to the root
            found = {top: str(root / name)}
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


def _read(file: Path) -> dict[str, str]:
    """Return the label of each file name. Raises DataError that names the entry that is wrong."""
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise DataError(f"{file}: line {error.lineno}, column {error.colno}: not valid JSON ({error.msg})") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8") from error
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from error
    labels: dict[str, str] = {}
    for name, label in _entries(file, content):
        if not isinstance(name, str) or not name:
            raise DataError(f"{file}: {name!r} is no file name")
        if isinstance(label, bool) or not isinstance(label, str | int) or label == "":
            raise DataError(f"{file}: the label of {name!r} is {label!r}; it must be a text or a whole number")
        if labels.setdefault(name, str(label)) != str(label):
            raise DataError(f"{file}: {name!r} has two labels, {labels[name]!r} and {str(label)!r}")
    return labels


def _entries(file: Path, content: object) -> Iterator[tuple[object, object]]:
    if isinstance(content, dict):
        yield from content.items()
        return
    if not isinstance(content, list):
        raise DataError(f"{file}: must be a mapping of file name to label, or a list of records")
    for number, record in enumerate(content, start=1):
        keys = [key for key in NAME_KEYS if key in record] if isinstance(record, dict) else []
        if not keys or "label" not in record:
            raise DataError(f"{file}: record {number} has not both a {' (or '.join(NAME_KEYS[:2])}, path) and a label")
        yield record[keys[0]], record["label"]
