"""Many small pictures as one: each image is kept once, in a sheet that every thumbnail of the page shows a part of."""

from __future__ import annotations

import base64
import io
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from bench.report.figures.picture_grid import thumbnail
from bench.report.tables.groups import Answers

if TYPE_CHECKING:
    from bench.contract import Dataset, Pixels


@dataclass(frozen=True)
class Pictures:
    """A data set's pictures by their row in query or gallery; each that is asked for gets a tile in the sheet."""

    dataset: Dataset
    sheet: Sheet

    def query(self, row: int) -> Tile:
        part = self.dataset.query
        return self.sheet.add(str(part.ids[row]), part.images.take(slice(row, row + 1))[0])

    def item(self, row: int) -> Tile:
        part = self.dataset.gallery
        return self.sheet.add(str(part.ids[row]), part.images.take(slice(row, row + 1))[0])

    def fit(self, answers: Answers) -> bool:
        """Whether the rows of a run's answers are those of this data set."""
        asked, found = self.dataset.query.ids, self.dataset.gallery.ids
        return np.array_equal(asked, answers.ids) and np.array_equal(found, answers.gallery_ids)


COLUMNS = 24  # tiles in a row of a sheet
_LARGEST = 48  # pixels of a tile's side: what the page shows, and a suite of sheets stays below 3 MB
_QUALITY = 72
_GREY = 128  # beside an image that is not square
_MOST_PIXELS = 16_383  # of a WebP image's side


@dataclass(frozen=True)
class Tile:
    """Where an image lies in its sheet: column and row, counted in tiles."""

    x: int
    y: int


@dataclass
class Sheet:
    """A growing sheet of square tiles. slug: the CSS class that shows it."""

    slug: str
    _places: dict[Hashable, Tile] = field(default_factory=dict)
    _images: list[Image.Image] = field(default_factory=list)
    _widest: int = 1

    def __len__(self) -> int:
        return len(self._images)

    def add(self, key: Hashable, pixels: Pixels) -> Tile:
        """Return the tile of an image, uint8 ``(height, width, 1 or 3)``; one key is kept once."""
        if key not in self._places:
            self._places[key] = Tile(*divmod(len(self._images), COLUMNS)[::-1])
            tile = thumbnail(pixels, min(max(pixels.shape[:2]), _LARGEST), _GREY)
            self._widest = max(self._widest, tile.width)
            self._images.append(tile)
        return self._places[key]

    @property
    def rows(self) -> int:
        return -(-len(self._images) // COLUMNS)

    @property
    def side(self) -> int:
        """Pixels of a tile's side: smaller where there are so many tiles that WebP could not hold the sheet."""
        return min(self._widest, _MOST_PIXELS // max(1, self.rows))

    def data_uri(self) -> str:
        """Return the sheet as a WebP ``data:`` address, which needs no file and no network."""
        side = self.side
        sheet = Image.new("RGB", (COLUMNS * side, max(1, self.rows) * side), (_GREY, _GREY, _GREY))
        for image, tile in zip(self._images, self._places.values(), strict=True):
            scaled = image if image.width == side else image.resize((side, side))
            sheet.paste(scaled, (tile.x * side, tile.y * side))
        buffer = io.BytesIO()
        sheet.save(buffer, "WEBP", quality=_QUALITY, method=6)
        return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
