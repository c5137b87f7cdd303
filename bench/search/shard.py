"""A part of a folder's pictures as a job for an executor: forked, or ``python -m bench.search.shard``."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from bench.contract import DataError, Workplace
from bench.data.decoding.worker_pool import map_in_order
from bench.evaluation.ranking.arrays import Ints
from bench.executors import child
from bench.runs.loaded_run import open_run
from bench.search.gallery_index import IndexBuilder, index_path, read_index

T = TypeVar("T")

VECTORS = "vectors.safetensors"  # in a shard's folder: an index of its pictures
_SAY_EVERY = 0.5  # seconds between two counts in the log


@dataclass(frozen=True)
class Shard:
    """Some pictures of a folder. names: relative to it; state: int64 ``(n, 3)``, as ``gallery.scan`` says."""

    names: list[str]
    state: Ints

    @property
    def key(self) -> str:
        """A name that other pictures, or other states of the same, do not have."""
        return hashlib.sha256(json.dumps([self.names, self.state.tolist()]).encode()).hexdigest()[:16]

    def folder(self, shards: Path) -> Path:
        return shards / self.key


@dataclass(frozen=True)
class ShardProgram:
    """How shards are embedded. place: its root is the folder that shards lie in.

    run_folder: of the run that embeds; pictures: the folder that names are relative to; index: the name of their index,
    which tells whether a run, and its Pillow, are those that embedding was started with.
    """

    place: Workplace
    run_folder: Path
    pictures: Path
    index: str
    last = VECTORS
    scratch = ""

    def as_json(self, shard: Shard) -> str:
        facts = {
            "run": str(self.run_folder.absolute()),
            "pictures": str(self.pictures),
            "index": self.index,
            "names": shard.names,
            "state": shard.state.tolist(),
        }
        return child.job_text("bench.search.shard", self.place, facts)

    def run(self, shard: Shard) -> int:
        """Embed what is not in the shard's file yet, and write it. What is done is counted in the log.

        Raises DataError where the run is not the one, or SimbenchError where it cannot embed.
        """
        torch.set_num_threads(self.place.threads)
        run = open_run(self.run_folder, self.place.device)
        if index_path(Path(), run.identity, self.pictures).name != self.index:
            raise DataError(f"{self.run_folder}: another run, or another Pillow, than where embedding was started")
        path = shard.folder(self.place.root) / VECTORS
        builder = IndexBuilder(shard.names, shard.state, run.dimension)
        before = read_index(path)
        if before is not None:
            builder.take_over(before)
        threads = self.place.threads  # one processor decodes as well as it embeds
        read = map if threads == 1 else partial(map_in_order, threads=threads)
        builder.embed(self.pictures, run, path, _counted, map_files=read)
        return 0


def _counted(items: Iterable[T], *, total: int, what: str) -> Iterable[T]:
    """Write how many items were asked for into the log, now and then."""
    del total, what
    said = time.monotonic()
    for count, item in enumerate(items):
        if time.monotonic() - said > _SAY_EVERY:
            child.say(str(count))
            said = time.monotonic()
        yield item


def _run(job: Mapping[str, Any], place: Workplace) -> int:
    state = np.array(job["state"], np.int64).reshape(-1, 3)
    program = ShardProgram(place, Path(job["run"]), Path(job["pictures"]), job["index"])
    return program.run(Shard(job["names"], state))


if __name__ == "__main__":
    child.serve(_run)
