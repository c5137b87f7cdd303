"""The file in the cache that remembers a folder's pictures: which they are, in what state, and their vectors."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from bench.data.decoding.cache import GALLERIES
from bench.evaluation.ranking.arrays import Ints, Vectors
from bench.files import write_bytes
from bench.runs.store import RunRecord

logger = logging.getLogger(__name__)

FORMAT = 1  # to be raised when the same pictures would give other vectors than before


@dataclass(frozen=True)
class Index:
    """One row a file. names: relative to the folder; state: int64 ``(n, 3)``; reasons: why a file has no vector, or "".

    vectors: unit float32 ``(n, d)``, zero where there is a reason.
    """

    names: list[str]
    state: Ints
    reasons: list[str]
    vectors: Vectors

    @classmethod
    def empty(cls, dimension: int) -> Index:
        return cls([], np.zeros((0, 3), np.int64), [], np.zeros((0, dimension), np.float32))

    def only(self, rows: NDArray[np.bool_]) -> Index:
        """Return the rows that a mask chooses; the index itself if it chooses all."""
        if rows.all():
            return self
        chosen = rows.tolist()
        names, reasons = list(compress(self.names, chosen)), list(compress(self.reasons, chosen))
        return Index(names, self.state[rows], reasons, self.vectors[rows])


def index_path(cache: Path, record: RunRecord, root: Path) -> Path:
    """Return where the index of a folder for a run lies; another run, or the same one run again, has another."""
    digest = hashlib.sha256(f"{FORMAT} {PIL.__version__}\0".encode())
    digest.update(
        json.dumps(record.result.to_json(), sort_keys=True).encode()
    )  # which tells when the run was made, too
    digest.update(b"\0" + os.fsencode(root))
    return cache / GALLERIES / f"{digest.hexdigest()[:32]}.safetensors"


def read_index(path: Path) -> Index | None:
    """Return what ``write_index`` wrote, or None if there is nothing, or nothing that can be used."""
    try:
        held = safetensors.numpy.load_file(path)
        index = Index(_texts(held["names"]), held["state"], _texts(held["reasons"]), held["vectors"])
        n = len(index.names)
        if index.state.shape != (n, 3) or len(index.reasons) != n or len(index.vectors) != n:
            raise ValueError("its parts have different lengths")
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        logger.warning("%s: a damaged index of pictures, embedding them again (%s)", path, error)
        return None
    return index


def write_index(path: Path, index: Index) -> None:
    """Write an index whole or not at all."""
    arrays: dict[str, NDArray[Any]] = {
        "names": _bytes(index.names),
        "state": index.state,
        "reasons": _bytes(index.reasons),
        "vectors": np.ascontiguousarray(index.vectors),
    }
    write_bytes(path, safetensors.numpy.save(arrays))


def _bytes(texts: Sequence[str]) -> NDArray[np.uint8]:
    """Pack texts without a zero byte, which file names cannot have; each ends with one."""
    return np.frombuffer(os.fsencode("".join(f"{text}\0" for text in texts)), np.uint8)


def _texts(packed: NDArray[np.uint8]) -> list[str]:
    return os.fsdecode(packed.tobytes()).split("\0")[:-1]
