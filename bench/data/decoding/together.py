"""JPEG files decoded many at once by TorchCodec (the extra ``torchcodec``), on a card or not; all others by Pillow.

Their pixels are close to those that Pillow gives, and not the same: another decoder, and no detail skipped before the
resizing. So they are other entries of the cache, and of other runs.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Literal

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from bench.data.decoding.block import Picture, Read, Task, decode_one
from bench.data.decoding.decode_image import ORIENTATION, WHITE
from bench.data.decoding.image_source import box_of

if TYPE_CHECKING:
    from bench.contract import ResizeMode


def decoder_of(device: str) -> str:
    """Return what decodes, in words that tell it from any other that gives other pixels."""
    return f"torchcodec {version('torchcodec')} on {device}"


def decode_together(task: Task, reads: Iterable[Read], *, device: str) -> Iterator[tuple[Read, Picture]]:
    """Yield what was read of each source, and its picture or why there is none, as ``block.decode_each`` does.

    TorchCodec is given plain JPEG files: upright, of the frame's colours, and of its size where that is the files' own.
    What it refuses, and whatever else there is, Pillow decodes or refuses.
    """
    held = list(reads)
    plain = [row for row, read in enumerate(held) if isinstance(read, bytes) and _is_plain(task, row, read)]
    images = _decoded([held[row] for row in plain], "GRAY" if task.frame.channels == 1 else "RGB", device)
    size = task.frame.height, task.frame.width
    ready = {
        row: _resized(image, size, task.resize) for row, image in zip(plain, images, strict=True) if image is not None
    }
    found = {}
    if ready:
        pixels = torch.stack(list(ready.values())).permute(0, 2, 3, 1).cpu().numpy()
        found = dict(zip(ready, pixels, strict=True))
    for row, read in enumerate(held):
        yield read, found[row] if row in found else decode_one(task, row, read)


def _is_plain(task: Task, row: int, data: bytes) -> bool:
    """Return whether a file's header says that nothing but decoding and resizing is to be done."""
    if box_of(task.sources[row]) is not None:
        return False
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            upright = "xmp" not in image.info and image.getexif().get(ORIENTATION, 1) == 1
            colours = ("L",) if task.frame.channels == 1 else ("L", "RGB")
            small = Image.MAX_IMAGE_PIXELS is None or image.width * image.height <= Image.MAX_IMAGE_PIXELS
            fits = not task.frame.own or (image.height, image.width) == (task.frame.height, task.frame.width)
            return image.format == "JPEG" and image.mode in colours and upright and small and fits
    except Exception:  # whatever is wrong with it, Pillow's own decoding says it
        return False


def _decoded(files: Sequence[Read], mode: Literal["GRAY", "RGB"], device: str) -> list[Tensor | None]:
    """Return the pictures, uint8 ``(channels, height, width)`` on the device; None for what TorchCodec refuses."""
    from torchcodec.decoders import decode_jpeg  # type: ignore[attr-defined]  # noqa: PLC0415 - an extra; public

    if not files:
        return []
    try:
        return list(decode_jpeg(list(files), mode=mode, device=device))
    except RuntimeError:  # of one of them, without a word of which
        if len(files) == 1:
            return [None]
        middle = len(files) // 2
        return [*_decoded(files[:middle], mode, device), *_decoded(files[middle:], mode, device)]


def _resized(image: Tensor, size: tuple[int, int], resize: ResizeMode) -> Tensor:
    """Return a picture at a size, (height, width), as `bench.contract.Resize` says, to the next whole pixel."""
    there = int(image.shape[1]), int(image.shape[2])
    if there == size:
        return image
    if resize == "stretch":
        return _scaled(image, size)
    ratios = [given / wanted for given, wanted in zip(there, size, strict=True)]
    scale = min(ratios) if resize == "crop" else max(ratios)
    inner = [max(1, round(given / scale)) for given in there]
    if resize == "crop":
        height, width = (max(one, wanted) for one, wanted in zip(inner, size, strict=True))
        top, left = (height - size[0]) // 2, (width - size[1]) // 2
        return _scaled(image, (height, width))[:, top : top + size[0], left : left + size[1]]
    height, width = (min(one, wanted) for one, wanted in zip(inner, size, strict=True))
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    canvas = torch.full((len(image), *size), WHITE, dtype=torch.uint8, device=image.device)
    canvas[:, top : top + height, left : left + width] = _scaled(image, (height, width))
    return canvas


def _scaled(image: Tensor, size: tuple[int, int]) -> Tensor:
    scaled: Tensor = tv.resize(image, list(size), interpolation=InterpolationMode.BICUBIC, antialias=True)
    return scaled
