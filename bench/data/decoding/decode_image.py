"""One image file into one uint8 array: upright, grey or colour, over white, at the size that is asked for."""

from __future__ import annotations

import importlib
import io
import warnings
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError, features

# Imported for what they register, so that no two threads race to do it.
from PIL import BmpImagePlugin, GifImagePlugin, JpegImagePlugin, MpoImagePlugin  # noqa: F401 # isort: skip
from PIL import PngImagePlugin, PpmImagePlugin, TiffImagePlugin, WebPImagePlugin  # noqa: F401 # isort: skip

from bench.data.decoding.image_source import Box, Source, UnreadableImageError, box_of, read_source
from bench.naming import reason_of

if TYPE_CHECKING:
    from bench.contract import Pixels, ResizeMode, Size

Range = tuple[int, int]  # lowest and highest value

WHITE = 255  # the background under transparency, and of the borders that "pad" adds
GAP = 2  # resize from at least twice the wanted size: Pillow finds it "almost indistinguishable" from the full way
ORIENTATION = 0x0112  # EXIF tag; 5 to 8 lie on their side
JPEG = ("JPEG", "MPO")  # the second: several in one file, as some cameras write them; the first opens it
# Whatever a file is called, nothing else is tried: of Pillow's other formats, one (EPS) is a program that is run.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "GIF", "TIFF", "PPM")
# Where Pillow was built with AVIF, and with the package that teaches it HEIC.
AVIF = bool(find_spec("PIL.AvifImagePlugin")) and features.check("avif")
HEIC = find_spec("pillow_heif") is not None
HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
HEIC_EXTRA = "HEIC needs pip install 'simbench-retrieval[heic]'"
HEIC_SUFFIXES = (".heic", ".heif", ".hif")
SUFFIXES = frozenset(
    (".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp")
    + ((".avif",) if AVIF else ())
    + (HEIC_SUFFIXES if HEIC else ())
)
# Of pictures, read or not: a file with one of these that is left out is told as a loss.
PICTURES = SUFFIXES.union(
    (
        ".avif",
        ".heic",
        ".heif",
        ".hif",
        ".jxl",
        ".jp2",
        ".j2k",
        ".jpx",
        ".jxr",
        ".apng",
        ".svg",
        ".psd",
        ".tga",
        ".ico",
    ),
    (".eps", ".exr", ".hdr", ".pfm", ".dcm", ".dds", ".qoi", ".xcf", ".pcx"),
    (".raw", ".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".rw2", ".raf", ".pef", ".srw"),  # cameras' own
)


class OtherSizeError(Exception):
    """A readable image does not have the size that all images were thought to have."""


def read_picture(
    source: Source | Path,
    size: Size | None,
    resize: ResizeMode,
    *,
    only: Size | None = None,
    value_range: Range | None = None,
) -> Pixels:
    """Read and decode an image file: see `decode_picture`. Nothing but a regular file is opened."""
    whole = str(source) if isinstance(source, Path) else source
    return decode_picture(read_source(whole), size, resize, only=only, box=box_of(whole), value_range=value_range)


def decode_picture(
    data: bytes,
    size: Size | None,
    resize: ResizeMode,
    *,
    only: Size | None = None,
    box: Box | None = None,
    value_range: Range | None = None,
) -> Pixels:
    """Decode an image file's bytes to uint8 ``(height, width, 1 or 3)``.

    size: (height, width) to bring it to, None to leave it as it is. resize: see `bench.contract.Resize`.
    only: raise OtherSizeError, before decoding where possible, unless the image has this size by itself.
    box: the part of the picture to take; the rest is as if it were not there. value_range: what is black and what is
    white in grey pictures of 16 bits, between which values are rounded to 8; None: the upper 8 bits are kept.
    One channel is what grey files give, and palettes without a colour in them. Of animations, the first frame.
    Raises UnreadableImageError.
    """
    try:
        with Image.open(io.BytesIO(data), formats=_formats_of(data)) as image:
            return _decode(image, size, resize, only=only, box=box, value_range=value_range)
    except (OtherSizeError, UnreadableImageError):
        raise
    except Exception as error:  # a damaged file can make Pillow raise almost anything, down to struct.error
        raise UnreadableImageError(_reason(error)) from error


def _formats_of(data: bytes) -> tuple[str, ...]:
    """Return the formats to try for a file's bytes: of those in ISO's container, only what they say they are."""
    if data[4:8] != b"ftyp":
        return FORMATS
    brands = {data[8:12], *(data[at : at + 4] for at in range(16, min(int.from_bytes(data[:4], "big"), 256), 4))}
    if brands & {b"avif", b"avis"}:
        if not AVIF:
            raise UnreadableImageError("AVIF, which this Pillow was built without; install Pillow 11.3 or later")
        _register_avif()
        return ("AVIF",)
    if not brands.isdisjoint(HEIC_BRANDS):
        if not HEIC:
            raise UnreadableImageError(HEIC_EXTRA)
        _register_heic()
        return ("HEIF",)
    return FORMATS


@cache
def _register_avif() -> None:
    with _REGISTERING:
        importlib.import_module("PIL.AvifImagePlugin")


@cache
def _register_heic() -> None:
    with _REGISTERING:
        importlib.import_module("pillow_heif").register_heif_opener()


_REGISTERING = Lock()  # of threads that meet their first such file at once


def _decode(
    image: Image.Image,
    size: Size | None,
    resize: ResizeMode,
    *,
    only: Size | None,
    box: Box | None,
    value_range: Range | None,
) -> Pixels:
    _refuse_bomb(image)
    shown = image.size if box is None else _size_of_box(image, box)
    if only is not None and sorted(shown) != sorted(only):
        raise OtherSizeError
    jpeg = image.format in JPEG
    if size is not None and jpeg and box is None:
        lying = "exif" in image.info and image.getexif().get(ORIENTATION, 1) >= 5
        height, width = reversed(size) if lying else size
        image.draft(None, (width * GAP, height * GAP))  # lets the JPEG decoder skip detail that no one will see
    if not jpeg or "exif" in image.info or "xmp" in image.info:  # asking costs a fifth of decoding a small JPEG
        ImageOps.exif_transpose(image, in_place=True)
    plain = image if jpeg and image.mode in ("L", "RGB") else _grey_or_colour(image, value_range)
    if box is not None:
        plain = plain.crop(box)
    if only is not None and (plain.height, plain.width) != only:
        raise OtherSizeError
    if size is not None and (plain.height, plain.width) != size:
        plain = _RESIZERS[resize](plain, *size)
    return np.atleast_3d(np.asarray(plain))


def _refuse_bomb(image: Image.Image) -> None:
    """Apply Pillow's limit, of which Pillow itself only warns until it is exceeded twice."""
    limit, pixels = Image.MAX_IMAGE_PIXELS, image.width * image.height
    if limit is not None and pixels > limit:
        raise UnreadableImageError(f"{image.width}x{image.height} pixels, above Pillow's limit of {limit}")


def _size_of_box(image: Image.Image, box: Box) -> tuple[int, int]:
    """Return a box's width and height; refuse one that reaches out of the picture, and one of a picture on its side."""
    left, top, right, bottom = box
    if right > image.width or bottom > image.height:
        raise UnreadableImageError(f"its box reaches out of its {image.width}x{image.height} pixels")
    if image.getexif().get(ORIENTATION, 1) != 1:
        raise UnreadableImageError("EXIF turns it: its box may be meant before or after that; save it upright")
    return right - left, bottom - top


def highest_value(source: Source) -> tuple[int, bool] | None:
    """Return the highest value in a picture of 16 bits, and whether it is grey; None for any other file.

    Of colours, Pillow reads the upper 8 bits: the highest value that these may stand for.
    """
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(read_source(source)), formats=FORMATS) as image:
            warnings.simplefilter("ignore")
            _refuse_bomb(image)
            if _is_deep(image):
                return int(np.asarray(image).max()), True
            deep = any("16" in str(tile[3]) for tile in image.tile)  # how its decoder is to read channels: "RGB;16B"
            return (int(np.asarray(image.convert("RGB")).max()) << 8 | 255, False) if deep else None
    except Exception:  # whatever is wrong with the file was told when it was decoded
        return None


def _is_deep(image: Image.Image) -> bool:
    return image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM"))


def _grey_or_colour(image: Image.Image, value_range: Range | None) -> Image.Image:
    """Return any mode as "L" or "RGB", with transparency laid over white."""
    if _is_deep(image):
        values = np.asarray(image).astype(np.int64)
        if value_range is None:
            high = values >> 8  # 16 bits: keep the upper 8
        else:
            low, top = value_range
            high = ((values - low) * 510 + (top - low)) // (2 * (top - low))  # rounded
        return Image.fromarray(np.clip(high, 0, 255).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise UnreadableImageError("32-bit pixels have no known range; save it with 8 or 16 bits a channel")
    clear = image.has_transparency_data
    if image.mode in ("1", "L", "LA", "La"):
        if not clear:
            return image.convert("L")
        layered = image.convert("LA")
        white = Image.new("L", image.size, WHITE)
        return Image.composite(layered.getchannel("L"), white, layered.getchannel("A"))
    if clear:
        layered = image.convert("RGBA")
        colour = Image.alpha_composite(Image.new("RGBA", image.size, "white"), layered).convert("RGB")
    else:
        colour = image.convert("RGB")
    return colour.getchannel("R") if image.mode in ("P", "PA") and _is_grey(colour) else colour


def _is_grey(colour: Image.Image) -> bool:
    pixels = np.asarray(colour)
    return bool((pixels == pixels[..., :1]).all())


def _cropped(image: Image.Image, height: int, width: int) -> Image.Image:
    scale = min(image.width / width, image.height / height)
    # Rounding may put an edge a trace outside the image, which Pillow refuses.
    left, top = max(0.0, (image.width - width * scale) / 2), max(0.0, (image.height - height * scale) / 2)
    box = (left, top, min(image.width, left + width * scale), min(image.height, top + height * scale))
    return image.resize((width, height), Image.Resampling.BICUBIC, box=box, reducing_gap=GAP)


def _padded(image: Image.Image, height: int, width: int) -> Image.Image:
    scale = max(image.width / width, image.height / height)
    inner_width, inner_height = max(1, round(image.width / scale)), max(1, round(image.height / scale))
    inner = image.resize((inner_width, inner_height), Image.Resampling.BICUBIC, reducing_gap=GAP)
    canvas = Image.new(image.mode, (width, height), WHITE if image.mode == "L" else "white")
    canvas.paste(inner, ((width - inner_width) // 2, (height - inner_height) // 2))
    return canvas


def _stretched(image: Image.Image, height: int, width: int) -> Image.Image:
    return image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=GAP)


_RESIZERS = {"crop": _cropped, "pad": _padded, "stretch": _stretched}


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not an image of a known format"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return reason_of(error)
