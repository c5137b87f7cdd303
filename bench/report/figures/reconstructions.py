"""A picture of what an embedding keeps: originals above what the decoder makes of their embeddings."""

from __future__ import annotations

import io
import logging
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from bench.contract import DataError
from bench.files import write_bytes
from bench.runs.artifacts import SAMPLES, read_arrays
from bench.runs.store import RunRecord

_LOG = logging.getLogger(__name__)

_TILE = 84  # pixels a side that a small image is enlarged to
_GAP = 6


def write_reconstructions(run: RunRecord, path: Path) -> bool:
    """Write a PNG of the run's samples: a column an image, the original above its reconstruction, the cosine below.

    Returns False if the run has no samples, or, with a warning, none that can be read.
    """
    source = run.folder / SAMPLES
    if not source.is_file():
        return False
    try:
        samples = read_arrays(source, "originals", "decoded", "cosines")
    except DataError as error:
        _LOG.warning("no reconstructions: %s", error)
        return False
    originals, decoded = samples["originals"], samples["decoded"]
    captions = [f"{cosine:.2f}" for cosine in samples["cosines"]]
    count = len(originals)
    sheet = Image.new("RGB", (count * (_TILE + _GAP) + _GAP, 2 * (_TILE + _GAP) + 22), "white")
    draw = ImageDraw.Draw(sheet)
    for column in range(count):
        left = _GAP + column * (_TILE + _GAP)
        for row, image in enumerate((originals[column], decoded[column])):
            sheet.paste(_enlarged(image), (left, _GAP + row * (_TILE + _GAP)))
        draw.text((left + _TILE / 2, 2 * (_TILE + _GAP) + 12), captions[column], fill="black", anchor="mm")
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    write_bytes(path, buffer.getvalue())
    return True


def _enlarged(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Image.Image:
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).convert("RGB")
    sharp = Image.Resampling.NEAREST if max(picture.size) < _TILE else Image.Resampling.LANCZOS
    return picture.resize((_TILE, _TILE), sharp)
