"""Any picture as the images that a run takes: the same decoding, limits and resizing as its data set had."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps

from bench.contract import DataError, ImageShape, Resize
from bench.data.decoding.decode_image import decode_picture, read_picture
from bench.data.decoding.image_source import UnreadableImageError

if TYPE_CHECKING:
    from bench.contract import Pixels, ResizeMode


@dataclass(frozen=True)
class Preparation:
    """How pictures of any size become uint8 ``(height, width, channels)`` of one shape.

    Grey pictures get three equal channels where the run has colour, coloured ones their luminance (ITU-R 601) where it
    is grey. resize, value_range: as of `bench.contract.Resize`. Every function raises UnreadableImageError, with the
    reason alone, for what is no image that can be used.
    """

    shape: ImageShape
    resize: ResizeMode = "crop"
    value_range: tuple[int, int] | None = None

    @classmethod
    def of(cls, shape: ImageShape, resize: Resize) -> Preparation:
        """Return how a run's own pictures were prepared."""
        return cls(shape, resize.mode, resize.value_range)

    def file(self, path: Path | str) -> Pixels:
        """Prepare an image file; see `bench.data.decoding.decode_image.decode_picture`."""
        return self._with_channels(read_picture(str(path), self._size, self.resize, value_range=self.value_range))

    def image(self, image: Image.Image) -> Pixels:
        """Prepare a Pillow image of any mode, turned upright."""
        try:
            upright = ImageOps.exif_transpose(image)
        except OSError as error:
            raise UnreadableImageError(str(error)) from error
        if upright.mode in ("CMYK", "YCbCr", "LAB", "HSV"):  # PNG has no such modes
            upright = upright.convert("RGB")
        through = io.BytesIO()
        try:
            upright.save(through, "PNG", compress_level=1)  # one way in, with one set of rules, for whatever comes
        except (OSError, ValueError) as error:  # a mode that PNG has not, or a file that ends too soon
            raise UnreadableImageError(str(error)) from error
        return self._with_channels(
            decode_picture(through.getvalue(), self._size, self.resize, value_range=self.value_range)
        )

    def array(self, pixels: Pixels) -> Pixels:
        """Prepare an array: uint8 ``(height, width)`` or ``(height, width, 1, 3 or 4)``."""
        if (
            pixels.dtype != np.uint8
            or pixels.ndim not in (2, 3)
            or (pixels.ndim == 3 and pixels.shape[2] not in (1, 3, 4))
        ):
            raise DataError(
                f"an image is uint8 (height, width) or (height, width, 1, 3 or 4), got {pixels.dtype} {pixels.shape}"
            )
        plain = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
        return self.image(Image.fromarray(np.ascontiguousarray(plain)))

    @property
    def _size(self) -> tuple[int, int]:
        return self.shape.height, self.shape.width

    def _with_channels(self, picture: Pixels) -> Pixels:
        if picture.shape[2] == self.shape.channels:
            return picture
        if picture.shape[2] == 1:
            return np.repeat(picture, 3, axis=2)
        return np.asarray(Image.fromarray(picture).convert("L"))[..., None]
