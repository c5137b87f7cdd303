"""Files as they lie on disk, plain or gzipped: read once, unpacked in memory."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from bench.contract import DataError

GZIP_MAGIC = b"\x1f\x8b"


def read_raw(path: Path) -> bytes:
    """Return the bytes of a file as they lie there. Raises DataError with the operating system's reason."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error


def unpack(raw: bytes, path: Path) -> bytes:
    """Return the content of a file: gunzipped where it begins like gzip, whatever its suffix says.

    Raises DataError, naming ``path``, for a gzip stream that is cut off, damaged, or followed by something else.
    """
    if not raw.startswith(GZIP_MAGIC):
        return raw
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: a damaged gzip file ({error}); delete it and download it again") from error
