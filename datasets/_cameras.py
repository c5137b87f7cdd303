"""What re-identification sets have in common: a picture's name says who it shows and which camera took it.

A query does not see pictures of its identity by its own camera: cameras are the groups of a `Split`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from bench import DataError
from bench.data.layouts.folder import is_image, visible
from bench.data.layouts.listing import Part

METRICS, KS = ("map_trapezoid", "minp"), (1, 5, 10)
JUNK = "-1"  # the identity of boxes that show nobody whole: neither an answer nor a mistake, so not in the gallery
REPORTED = (
    "auto is given: a query does not see its identity's pictures by its own camera, and is left out where no other "
    "answers; its papers' mAP is map, MATLAB's map_trapezoid, mINP is minp; what its papers call rank-k is hit@k here, "
    "at k = 1, 5, 10 without -k"
)


def filmed(rows: Iterable[tuple[str, str, str, str]]) -> Part:
    """Return a part of (path, identity, camera, id) a row."""
    found = list(rows)
    part = Part.of((path, identity, one) for path, identity, _, one in found)
    return replace(part, groups=tuple(camera for _, _, camera, _ in found))


def filmed_folders(home: Path, folders: Mapping[str, tuple[str, ...]], name: re.Pattern[str]) -> dict[str, Part]:
    """Return parts of folders of pictures. name: how a picture's name begins; its groups are identity and camera."""
    return {part: filmed(row for one in some for row in _read(home / one, name)) for part, some in folders.items()}


def _read(folder: Path, pattern: re.Pattern[str]) -> Iterator[tuple[str, str, str, str]]:
    for entry in visible(folder):
        if not is_image(entry.name):
            continue
        told = pattern.match(entry.name)
        if told is None:
            raise DataError(f"{folder}: {entry.name} does not begin with an identity and a camera; it is another set's")
        identity, camera = told.groups()
        if identity != JUNK:
            yield entry.path, identity, camera, f"{folder.name}/{entry.name}"
