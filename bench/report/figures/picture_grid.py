"""Rows of captioned pictures as one PNG: queries with their neighbours, images with what they are decoded to."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bench.contract import DataError, Split, UsageError
from bench.data.decoding.decode_image import read_picture
from bench.data.decoding.image_source import UnreadableImageError
from bench.files import write_bytes
from bench.runs.artifacts import SAMPLES, read_arrays

if TYPE_CHECKING:
    from bench.contract import Pixels
    from bench.runs.store import RunRecord

_LOG = logging.getLogger(__name__)
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


Frame = Literal["right", "wrong", "query", "none"]

_BORDER = 4
_GAP = 8
_LINE = 15
_COLOURS = {"right": (18, 140, 70), "wrong": (205, 40, 45), "query": (60, 60, 60), "none": (255, 255, 255)}
_MOST_PIXELS = 64_000_000  # of a sheet: about 2,000 tiles; more is no picture that anybody looks at


@dataclass(frozen=True)
class Tile:
    """One picture. pixels: uint8 ``(height, width, 1 or 3)`` of any size; caption: up to two lines under it.

    frame: green where the label is that of the query, red where it is another, grey for the query itself.
    """

    pixels: Pixels
    caption: tuple[str, ...] = ()
    frame: Frame = "none"


def draw_grid(rows: Sequence[Sequence[Tile]]) -> bytes:
    """Return a PNG with a row of tiles for each row given; a gap follows a query.

    Raises DataError where there is nothing to draw, or too much for one picture.
    """
    if not rows or not any(rows):
        raise DataError("there is no picture to draw")
    lines = max(len(tile.caption) for row in rows for tile in row)
    side = SIDE + 2 * _BORDER
    step, height = side + _GAP, side + lines * _LINE + _GAP
    width = max(sum(step + _after(tile) for tile in row) for row in rows) + _GAP
    if width * height * len(rows) > _MOST_PIXELS:
        raise DataError(
            f"{len(rows)} rows of up to {max(map(len, rows))} pictures are too many for one PNG; ask for fewer"
        )
    sheet = Image.new("RGB", (width, height * len(rows) + _GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for number, row in enumerate(rows):
        left, top = _GAP, _GAP + number * height
        for tile in row:
            draw.rectangle((left, top, left + side - 1, top + side - 1), fill=_COLOURS[tile.frame])
            sheet.paste(thumbnail(tile.pixels), (left + _BORDER, top + _BORDER))
            for line, text in enumerate(tile.caption):
                middle = (left + side / 2, top + side + 2 + (line + 0.5) * _LINE)
                draw.text(middle, _fitting(text, font, side), fill=_COLOURS["query"], font=font, anchor="mm")
            left += step + _after(tile)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def write_reconstructions(run: RunRecord, path: Path) -> bool:
    """Write a PNG of the run's samples: a column an image, the original above its reconstruction, the cosine below.

    Returns False if the run has no samples, or, with a warning, none that can be read.
    """
    if SAMPLES not in run.result.files:
        return False
    try:
        samples = read_arrays(run, SAMPLES, "originals", "decoded", "cosines")
    except DataError as error:
        _LOG.warning("no reconstructions: %s", error)
        return False
    told = zip(samples["decoded"], samples["cosines"], strict=True)
    below = [Tile(decoded, (f"{cosine:.2f}",)) for decoded, cosine in told]
    write_bytes(path, draw_grid([[Tile(original) for original in samples["originals"]], below]))
    return True


def thumbnail(pixels: Pixels, side: int = SIDE, sides: int = 236) -> Image.Image:
    """Return a picture fitted into a square tile, RGB, on grey (of this value) where its proportions differ."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else np.ascontiguousarray(pixels)).convert("RGB")
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    sharp = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
    tile = Image.new("RGB", (side, side), (sides, sides, sides))
    tile.paste(image.resize(size, sharp), ((side - size[0]) // 2, (side - size[1]) // 2))
    return tile


def _after(tile: Tile) -> int:
    return 2 * _GAP if tile.frame == "query" else 0


def _fitting(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """Shorten a text from its beginning, as names of files differ at their end."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength("…" + text) > width:
        text = text[1:]
    return "…" + text
