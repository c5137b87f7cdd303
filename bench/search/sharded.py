"""A large folder embedded in shards, side by side in processes of this machine or of a Ray cluster.

A shard is a part of what is to be embedded, no more: what its process has written is taken over file by file, by the
next start too. So nothing depends on where a folder was cut, and whatever is killed, only little is embedded again.
"""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import safetensors.numpy

from bench.contract import RunSpec, SimbenchError, Workplace
from bench.data.formats.vector_ids import MADE_BY, MODEL
from bench.data.layouts.folder import LabelFrom
from bench.executors.executor import LOG, TOLD, Ended, Limits, Pool, from_outside, why_ended
from bench.executors.process import last_line
from bench.files import ensure_writable, write_bytes, write_rows
from bench.naming import readable
from bench.runs.fitting import brought_by
from bench.runs.store import RunRecord
from bench.search.gallery import OwnGallery, cached_gallery, shards_of
from bench.search.gallery_index import IndexBuilder, read_index
from bench.search.shard import VECTORS, Shard, ShardProgram

_SHARD, _SHARD_ON_GPU = 1 << 12, 1 << 17  # pictures
_PAUSE = 0.05  # seconds between two looks at the processes
_COUNT_EVERY = 0.5  # seconds between two looks into their logs
MakePool = Callable[[ShardProgram], Pool[Shard]]  # called only if there is something to embed


def embed_folder(
    folder: Path,
    record: RunRecord,
    place: Workplace,
    make_pool: MakePool,
    *,
    size: int | None = None,
    label_from: LabelFrom = "outer",
) -> OwnGallery:
    """Embed a folder's pictures in shards of at most ``size``; see ``gallery.open_gallery``, which it equals.

    record: of the run that embeds; place: its cache holds the vectors; size: by default a minute's work of a processor,
    and more on a GPU, whose processes take longer to begin than to embed a few thousand pictures. A shard whose process
    dies of a cause outside it is begun once more.
    Raises SimbenchError where one fails, with what is embedded kept, and as ``open_gallery`` does.
    """
    if place.cache is None:
        raise SimbenchError("a folder is embedded into a cache, and there is none")
    if size is None:
        size = _SHARD if place.device.type == "cpu" else _SHARD_ON_GPU
    embed = partial(_embed, record=record, place=place, make_pool=make_pool, size=size)
    dimension = record.result.embedding_dim
    return cached_gallery(
        folder, place.cache, embed, place.log, identity=record.identity, dimension=dimension, label_from=label_from
    )


def cut(builder: IndexBuilder, size: int, slots: int) -> list[Shard]:
    """Return the pictures to embed in shards of at most ``size``, and of fewer where some slots would get none."""
    todo, index = builder.missing, builder.index
    each = max(1, min(size, -(-len(todo) // slots)))
    parts = [todo[first : first + each] for first in range(0, len(todo), each)]
    return [Shard([index.names[row] for row in part], index.state[part]) for part in parts]


def _embed(
    builder: IndexBuilder,
    root: Path,
    path: Path,
    *,
    record: RunRecord,
    place: Workplace,
    make_pool: MakePool,
    size: int,
) -> None:
    shards = shards_of(path)
    ensure_writable(shards)
    program = ShardProgram(replace(place, root=shards), record.folder, root, path.name)
    pool = make_pool(program)
    try:
        work = _Work(builder, program, pool, record.result.spec, cut(builder, size, pool.slots))
        for _ in place.progress(work.pictures(), total=len(builder.missing), what="embed"):
            pass
    finally:
        pool.stop()
    builder.save(path)


class _Work:
    """Shards on their way into an index."""

    def __init__(
        self, builder: IndexBuilder, program: ShardProgram, pool: Pool[Shard], spec: RunSpec, shards: list[Shard]
    ) -> None:
        self._index, self._pool, self._spec = builder, pool, spec
        self._root, self._log = program.place.root, program.place.log
        self._waiting = deque(shards)
        self._running: dict[str, Shard] = {}
        self._again: set[str] = set()  # keys of shards that have died once

    def pictures(self) -> Iterator[None]:
        """Run all shards, and yield once for every picture that is embedded."""
        finished = shown = 0
        counted = time.monotonic()
        while self._waiting or self._running:
            while self._waiting and len(self._running) < self._pool.slots:
                self._start(self._waiting.popleft())
            time.sleep(_PAUSE)
            for shard, ended in self._pool.ended():
                del self._running[shard.key]
                finished += self._settled(shard, ended)
            if time.monotonic() - counted > _COUNT_EVERY or not self._running:
                counted = time.monotonic()
                seen = finished + sum(self._counted(shard) for shard in self._running.values())
                yield from (None for _ in range(shown, seen))
                shown = max(shown, seen)

    def _start(self, shard: Shard) -> None:
        folder = shard.folder(self._root)
        folder.mkdir(parents=True, exist_ok=True)
        self._running[shard.key] = shard
        self._pool.start(shard, folder)

    def _settled(self, shard: Shard, ended: Ended) -> int:
        """Take over what a shard's process has written, and return how many pictures it has finished."""
        if (ended.cause, ended.code) == ("exit", 0):
            found = read_index(shard.folder(self._root) / VECTORS)
            if found is not None and found.names == shard.names:
                self._index.take_over(found)
                return len(shard.names)
            ended = replace(ended, words="")
        whose = f": {brought_by(self._spec)}" if ended.cause == "exit" and not ended.words.startswith(TOLD) else ""
        if from_outside(ended) and shard.key not in self._again:
            self._again.add(shard.key)
            self._log(f"{_words(shard)}: its process died of a cause outside it; once more")
            self._waiting.appendleft(shard)
            return 0
        raise SimbenchError(
            f"{_words(shard)} could not be embedded: {why_ended(ended, Limits())}{whose}; what is embedded is kept"
        )

    def _counted(self, shard: Shard) -> int:
        """Return how many pictures a running shard's log tells of."""
        said = last_line(shard.folder(self._root) / LOG)
        return int(said) if said.isdecimal() else 0


def _words(shard: Shard) -> str:
    first, last = readable(shard.names[0]), readable(shard.names[-1])
    return f"{len(shard.names):,} pictures ({first} to {last})" if len(shard.names) > 1 else first


KEY = "vectors"


def write_gallery(out: Path, own: OwnGallery, record: RunRecord) -> Sequence[Path]:
    """Write a gallery's vectors, their ids and labels, and what could not be read; return the files written.

    ``out`` holds unit float32 ``vectors (n, d)``, and in its metadata which run made them. Beside it: ``.csv`` with id
    and label, as ``simbench evaluate`` reads them, in the rows' order; ``.unreadable.csv`` with id and reason, if there
    is any. ``out`` is written last, and any older one removed first: where it lies, it fits its list.
    """
    names, unread = out.with_suffix(".csv"), out.with_suffix(".unreadable.csv")
    for old in (out, unread):
        old.unlink(missing_ok=True)
    rows = zip(own.items.names, own.items.labels, strict=True)
    write_rows(names, [{"id": _line(name), "label": _line(label or own.root.name)} for name, label in rows])
    if own.broken:
        write_rows(unread, [{"id": _line(name), "reason": reason} for name, reason in own.broken])
    vectors = np.ascontiguousarray(own.items.vectors)
    write_bytes(out, safetensors.numpy.save({KEY: vectors}, metadata={MADE_BY: _run(record), MODEL: _model(record)}))
    return [out, names, *([unread] if own.broken else [])]


def _run(record: RunRecord) -> str:
    """Return which run made the vectors, as its folder under ``runs/`` is called."""
    run = record.result
    return f"{run.dataset}/{run.protocol}/{run.method}/{run.key}/seed{run.seed}"


def _model(record: RunRecord) -> str:
    """Return what tells the run's vectors from those of the same run made anew."""
    return hashlib.sha256(record.identity.encode()).hexdigest()[:16]


def _line(name: str) -> str:
    r"""Return a name as text of one line, whatever a reader takes for the end of one: such characters become ``\n``."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in readable(name))
