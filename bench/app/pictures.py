"""How an item looks, by its name: the picture that is drawn, which is not always all that the method sees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from bench.contract import Split, UsageError
from bench.data.image_source import UnreadableImageError
from bench.data.picture import read_picture

if TYPE_CHECKING:
    from bench.contract import Pixels

SIDE = 112  # pixels that a picture is drawn with

Pictures: TypeAlias = "Callable[[str], Pixels]"  # from an item's name to uint8 (height, width, 1 or 3)


def picture_of_file(path: Path) -> Pixels:
    """Return the whole picture in a file, white at its sides where it is not square. Raises UnreadableImageError."""
    return read_picture(path, (SIDE, SIDE), "pad")


def pictures_in(root: Path) -> Pictures:
    """Return the pictures of a folder by their relative names; grey where one has gone since it was embedded."""

    def look(name: str) -> Pixels:
        try:
            return picture_of_file(root / name)
        except UnreadableImageError:
            return np.full((SIDE, SIDE, 1), 128, np.uint8)

    return look


def pictures_of(split: Split) -> Pictures:
    """Return the images of a data set's part by their ids. Raises UsageError for an id that it has not."""
    rows = {name: row for row, name in enumerate(split.ids.tolist())}

    def look(name: str) -> Pixels:
        if name not in rows:
            raise UsageError(f"no image has the id {name!r}")
        found: Pixels = split.images.take(slice(rows[name], rows[name] + 1))[0]
        return found

    return look
