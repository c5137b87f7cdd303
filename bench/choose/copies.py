"""Without labels: does a changed copy of a picture find its original among all pictures of a folder?

Each copy is made of decoded pixels, at the size that a method takes. It measures sameness of a picture, not of a kind
of thing: two photographs of one shoe count as different.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.choose.proxies import consistency
from bench.choose.rungs import Rung
from bench.contract import DataError, Images, Workplace
from bench.environment import images_at_once
from bench.evaluation.corruptions import CORRUPTIONS, corrupt
from bench.evaluation.cost.latency import embed_latency, flat_index, search_latency
from bench.evaluation.cost.timing import Timing
from bench.evaluation.evaluate import evaluate_set
from bench.evaluation.ranking.arrays import Floats, Ints
from bench.evaluation.ranking.retrieval_set import RetrievalSet
from bench.evaluation.statistics.estimates import Measured, of_queries
from bench.evaluation.statistics.paired_tests import Comparison, compare_with_best
from bench.files import file_digest
from bench.runs.untrained import UntrainedMethod
from bench.search.fitted_on_folder import open_untrained
from bench.search.gallery import OwnGallery, open_gallery
from bench.search.gallery_index import read_pictures
from bench.search.preparation import Preparation

if TYPE_CHECKING:
    from bench.contract import Pixels
    from bench.evaluation.ranking.arrays import Vectors

KINDS = {"crop": 2, "blur": 2, "jpeg": 2}  # of change, and how severe each is: the middle of three
ASKED = 500  # pictures of which copies are made, evenly spaced
_SECONDS = 0.3  # that embedding one picture is timed for, and a search
_BLOCK = 32  # pictures whose copies are embedded at once


@dataclass(frozen=True)
class Recovered:
    """What one method made of the copies; by kind of change, float64 ``(asked,)``, all in one order of pictures.

    hits: 1 where the original comes first; reciprocal: 1 over its rank; near: the copy's ``proxies.consistency``.
    ms: to embed a picture and search for it, median of one at a time; dimensions: of a vector, float32.
    """

    rung: Rung
    hits: Mapping[str, Floats]
    reciprocal: Mapping[str, Floats]
    near: Mapping[str, Floats]
    ms: float
    dimensions: int

    @property
    def name(self) -> str:
        """The method, with its options where it has any."""
        options = ", ".join(f"{name}={value}" for name, value in self.rung.options.items())
        return f"{self.rung.method} ({options})" if options else self.rung.method

    @property
    def merit(self) -> Floats:
        """The mean reciprocal rank of each picture's copies, float64 ``(asked,)``: what methods are compared by."""
        merit: Floats = np.mean(list(self.reciprocal.values()), axis=0)
        return merit

    @property
    def measured(self) -> Measured:
        """``merit`` for other pictures asked of the same folder."""
        return spread(self.merit)


@dataclass(frozen=True)
class CopiesFound:
    """The comparison of some methods. methods: the best first; against: each of the others against it.

    pictures: readable ones of the folder, ``unreadable`` others; asked: of how many copies were made; twice: how many
    pictures lie in the folder more than once, file by file; left_out: (rung, reason).
    """

    folder: Path
    pictures: int
    unreadable: int
    asked: int
    twice: int
    methods: tuple[Recovered, ...]
    against: tuple[Comparison, ...]
    left_out: tuple[tuple[Rung, str], ...]

    @property
    def tied(self) -> list[Recovered]:
        """What cannot be told from the best, the best first."""
        others = zip(self.methods[1:], self.against, strict=True)
        return [self.methods[0], *(one for one, found in others if not found.separable)]

    @property
    def quickest(self) -> Recovered:
        """The quickest in use of those that cannot be told from the best."""
        return min(self.tied, key=lambda one: one.ms)


def spread(values: Floats) -> Measured:
    """Return what is known of values of pictures, float64 ``(asked,)``, each of which stands for itself."""
    return of_queries(values[None], np.arange(len(values)))


def find_copies_by(
    rungs: Sequence[Rung],
    folder: Path,
    place: Workplace,
    options_of: Callable[[str], Mapping[str, object]],
    *,
    budget: float,
    asked: int = ASKED,
) -> CopiesFound:
    """Compare methods that use no labels and train nothing on a folder's pictures; all are asked the same copies.

    options_of: of a method's name, its options unless a rung says otherwise; budget: seconds, after which none is
    begun; asked: pictures of which copies are made, at most. Vectors of the folder's pictures are kept in the cache, as
    those of ``simbench search --gallery`` are. Raises DataError for a folder of fewer than three readable pictures, or
    one that changes meanwhile.
    """
    began = time.monotonic()
    found: list[Recovered] = []
    left_out: list[tuple[Rung, str]] = []
    pictures: _Pictures | None = None
    own: OwnGallery | None = None
    for rung in rungs:
        if found and time.monotonic() - began > budget:
            left_out.append((rung, "no time was left (--budget)"))
            continue
        method = UntrainedMethod.of(rung.method, {**options_of(rung.method), **rung.options}, place.device)
        fitted = open_untrained(folder, method, _cache(place), place)
        own = open_gallery(folder, fitted, _cache(place), place.progress, place.log)
        pictures = pictures or _Pictures.of(own, asked)
        if list(own.items.names) != pictures.names:
            raise DataError(f"{folder}: its pictures have changed while they were looked at; start again")
        found.append(_asked(rung, fitted, own, pictures, place))
        place.log(
            f"{rung.words}: copies find their originals with a mean reciprocal rank of {found[-1].merit.mean():.3f}"
        )
    if pictures is None or own is None:
        raise DataError(f"{folder}: no method was asked")
    return _compared(folder, own, pictures, found, left_out)


def _compared(
    folder: Path, own: OwnGallery, pictures: _Pictures, found: list[Recovered], left_out: list[tuple[Rung, str]]
) -> CopiesFound:
    best, *others = ordered = sorted(found, key=lambda one: (-one.merit.mean(), one.ms))
    against = compare_with_best(best.measured, [one.measured for one in others])
    counts = np.bincount(pictures.groups)
    twice = int(counts[counts > 1].sum())
    told = len(pictures.names), len(own.broken), len(pictures.rows), twice
    return CopiesFound(folder, *told, tuple(ordered), tuple(against), tuple(left_out))


@dataclass(frozen=True)
class _Pictures:
    """Who is asked. rows: of names, int64; groups: int64, one a name, equal where two files are the same."""

    names: list[str]
    rows: Ints
    groups: Ints

    @classmethod
    def of(cls, own: OwnGallery, most: int) -> _Pictures:
        names = list(own.items.names)
        groups = _same_files(own.root, names)
        if len(np.unique(groups)) < 3:
            raise DataError(f"{own.root}: {len(names)} pictures can be read, or all are one; copies need three to tell")
        return cls(names, np.linspace(0, len(names) - 1, min(len(names), most)).astype(np.int64), groups)


def _same_files(root: Path, names: Sequence[str]) -> Ints:
    """Return a number a file, equal where the bytes are: only files of one size are read."""
    sizes: dict[int, list[int]] = defaultdict(list)
    for row, name in enumerate(names):
        sizes[(root / name).stat().st_size].append(row)
    known: dict[str, int] = {}
    groups = np.arange(len(names), dtype=np.int64)
    for rows in sizes.values():
        for row in rows if len(rows) > 1 else ():
            groups[row] = known.setdefault(file_digest(root / names[row]), row)
    return groups


def _asked(rung: Rung, method: UntrainedMethod, own: OwnGallery, pictures: _Pictures, place: Workplace) -> Recovered:
    """Ask the copies of one method, and take its time."""
    items, same = own.items.vectors, pictures.groups[pictures.rows]
    embedded: dict[str, list[Vectors]] = defaultdict(list)
    near: dict[str, list[Floats]] = defaultdict(list)
    shown: Pixels | None = None
    for rows, pixels in _read(method, own, pictures, place):
        shown = pixels if shown is None else shown
        ids = np.array([pictures.names[row] for row in pictures.rows[rows]])
        for kind, severity in KINDS.items():
            vectors = method.embed(corrupt(pixels, ids, kind, severity))
            embedded[kind].append(vectors)
            near[kind].append(consistency(vectors, same[rows], items, pictures.groups))
    queries = {kind: np.concatenate(parts) for kind, parts in embedded.items()}
    data = RetrievalSet.of(queries["crop"], same, items, pictures.groups, normalize=False)
    values = {kind: _values(data.with_query(some), place.threads) for kind, some in queries.items()}
    return Recovered(
        rung,
        {kind: found["hit@1"] for kind, found in values.items()},
        {kind: found["mrr"] for kind, found in values.items()},
        {kind: np.concatenate(parts) for kind, parts in near.items()},
        _milliseconds(method, Images(shown), queries["crop"], items, place) if shown is not None else 0.0,
        items.shape[1],
    )


def _values(data: RetrievalSet, threads: int) -> Mapping[str, Floats]:
    return evaluate_set(data, ks=(1,), threads=threads, replicates=False).per_query


def _milliseconds(method: UntrainedMethod, shown: Images, queries: Vectors, items: Vectors, place: Workplace) -> float:
    timing = Timing(place.device, place.threads, _SECONDS)
    embedding = embed_latency(method.method, shown, timing).median_ms
    return embedding + search_latency(queries, flat_index(items), timing).median_ms


def _read(
    method: UntrainedMethod, own: OwnGallery, pictures: _Pictures, place: Workplace
) -> Iterator[tuple[slice, Pixels]]:
    """Yield the pictures that copies are made of, a block at a time: its rows among those asked, and pixels."""
    names = [pictures.names[row] for row in pictures.rows]
    read = iter(read_pictures(own.root, names, Preparation.of(method.shape, method.resize)))
    step = images_at_once(method.shape.height, method.shape.width, place.device.type, _BLOCK)
    blocks = range(0, len(names), step)
    for first in place.progress(blocks, total=len(blocks), what=f"copies, {method.name}"):
        rows = slice(first, min(first + step, len(names)))
        found = [next(read) for _ in names[rows]]
        gone = next((name for name, one in zip(names[rows], found, strict=True) if isinstance(one, str)), None)
        if gone is not None:
            raise DataError(f"{own.root / gone}: could be read before, and cannot now; start again")
        yield rows, np.stack([one for one in found if not isinstance(one, str)])


def strength(kind: str) -> str:
    """Return how strong a kind of change is, in words: the middle 50 % of both sides."""
    level = CORRUPTIONS[kind].levels[KINDS[kind] - 1]
    words = {
        "crop": f"the middle {level:.0%} of both sides",
        "blur": f"Gaussian, sigma {level:.1%} of the shorter side",
        "jpeg": f"libjpeg's quality {level:g}",
    }
    return words[kind]


def _cache(place: Workplace) -> Path:
    return place.cache or place.root
