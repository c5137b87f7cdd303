"""Found copies on disk: one npz file a data set, written whole or not at all."""

from __future__ import annotations

import logging
import os
import socket
from contextlib import suppress
from pathlib import Path

import numpy as np

from bench.contract import DAMAGED_ARRAYS
from bench.data.duplicates import Copies

logger = logging.getLogger(__name__)


def load_copies(path: Path) -> Copies | None:
    """Return what was found before, or None if there is no such file, or a damaged one."""
    try:
        with np.load(path, allow_pickle=False) as file:
            found = Copies(**{name: file[name] for name in ("group", "first", "second", "mirrored")})
    except FileNotFoundError:
        return None
    except DAMAGED_ARRAYS as error:
        logger.warning("%s: a damaged audit, looking again (%s)", path, error)
        return None
    with suppress(OSError):  # used today, says the cache, which may be one that only others write
        os.utime(path)
    return found


def save_copies(path: Path, copies: Copies) -> None:
    """Write whole or not at all; a cache that cannot be written costs time, not the run."""
    temporary = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            np.savez_compressed(
                file, group=copies.group, first=copies.first, second=copies.second, mirrored=copies.mirrored
            )
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        logger.warning("%s: the audit cannot be kept (%s)", path, error.strerror or error)
