"""Ranking backends: what every one is given and must give."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np

from bench.evaluation.ranking.arrays import Ints, Neighbors, Scores, Vectors
from bench.evaluation.ranking.gains import Gains, ordered_gains
from bench.evaluation.ranking.lists import offsets_of
from bench.evaluation.ranking.ranks import Ranks
from bench.evaluation.ranking.relevance import Layout
from bench.evaluation.ranking.vectors import Rows, equal_rows

if TYPE_CHECKING:
    from torch import Tensor

    from bench.evaluation.ranking.device_ranks import DeviceRanks

# Matrix products work in small tiles, and the last, narrower tiles may add in another order: the same two vectors would
# then score differently in the last bit from place to place. Padding to full tiles with zeros makes most kernels add
# alike everywhere; some (OpenBLAS's for Haswell) do not even then, so items that are equal also get one score outright:
# a collapsed model must not be ranked by rounding.
TILE_ROWS = 16
TILE = 64  # columns
_HELD_BYTES = 1 << 30  # a larger gallery stays where it is, and is read once for each block of queries
_CHUNK_VALUES = 4 << 20  # numbers made at a time: 16 MB


@dataclass(frozen=True)
class Columns:
    """gallery: N rows in the caller's order; order: int64 ``(N,)``, which of them stands in each column."""

    gallery: Rows
    order: Ints
    held: Vectors | None

    def __len__(self) -> int:
        return len(self.order)

    @property
    def padded(self) -> int:
        """The number of columns with those that fill the last tile."""
        return round_up(len(self.order), TILE)

    def take(self, columns: Ints | slice) -> Vectors:
        """Return chosen columns as rows, float32 ``(k, d)``."""
        if self.held is not None:
            chosen: Vectors = self.held[: len(self)][columns]
            return chosen
        return self.gallery.take(self.order[columns])

    @cached_property
    def there(self) -> Tensor | None:
        """The columns as rows on the device that the gallery lies on, float32 ``(N, d)``; None for one of the host."""
        if not self.gallery.on_device:
            return None
        from bench.evaluation.ranking.device_rows import there  # noqa: PLC0415 - torch takes seconds

        return there(self.gallery, self.order)

    def equal(self) -> tuple[Ints, Ints]:
        """Return which columns equal another, and that other, int64 each; see ``vectors.equal_rows``."""
        if self.there is None:
            return equal_rows(len(self), self.take)
        from bench.evaluation.ranking.device_rows import equal_rows_there  # noqa: PLC0415 - torch takes seconds

        return equal_rows_there(self.there)

    def windows(self, width: int) -> Iterator[tuple[slice, Vectors]]:
        """Yield ``width`` consecutive columns after another and their vectors as rows; the last ones may be fewer."""
        for first in range(0, len(self), width):
            columns = slice(first, min(first + width, len(self)))
            yield columns, self.take(columns)

    def chunks(self) -> Iterator[tuple[slice, Vectors]]:
        """Yield consecutive columns and their vectors as rows, whole tiles; all at once if they are held."""
        if self.held is not None:
            yield slice(0, self.padded), self.held
            return
        step = max(TILE, _CHUNK_VALUES // max(1, self.gallery.dimension) // TILE * TILE)
        for first in range(0, self.padded, step):
            columns = slice(first, min(first + step, self.padded))
            rows = np.zeros((columns.stop - columns.start, self.gallery.dimension), dtype=np.float32)
            chosen = self.order[columns]
            rows[: len(chosen)] = self.gallery.take(chosen)
            yield columns, rows


def grouped_columns(gallery: Rows, order: Ints) -> Columns:
    """Return the gallery's columns; they are held if they lie on the host and take no more than 1 GB."""
    made = Columns(gallery, order, None)
    if gallery.on_device or made.padded * gallery.dimension * 4 > _HELD_BYTES:
        return made
    held = np.empty((made.padded, gallery.dimension), dtype=np.float32)
    for columns, rows in made.chunks():
        held[columns] = rows
    return Columns(gallery, order, held)


@dataclass(frozen=True)
class RankedBlock:
    """What is known of consecutive queries once they are ranked.

    rows: which queries. pessimistic, optimistic: ranks of their relevant items with ties against and for them; where
    only the top of the ranking was asked for, the pessimistic ranks up to K, twice.
    neighbors: int32 ``(queries, K)`` gallery positions in the caller's order, best first, -1 where there are no more;
    neighbor_labels: int64, their label numbers, -1 likewise; similarities: float32, NaN likewise. Equal similarities:
    not relevant before relevant, then by label, then by id (by gallery position where there are no ids).
    """

    rows: slice
    pessimistic: Ranks | DeviceRanks
    optimistic: Ranks | DeviceRanks
    neighbors: Neighbors
    neighbor_labels: Ints
    similarities: Scores


@dataclass(frozen=True)
class Problem:
    """What is ranked. layout: the gallery's columns, and each query's view of them.

    copies, originals: int64, columns that equal another, and that other (``equal_rows``); keep: K, neighbours a query;
    full: whether to rank the whole gallery, or only the first K.
    """

    queries: Rows
    columns: Columns
    layout: Layout
    copies: Ints
    originals: Ints
    keep: int
    full: bool

    @classmethod
    def of(cls, queries: Rows, gallery: Rows, layout: Layout, *, keep: int, full: bool) -> Problem:
        """Group the gallery's columns and find those that are equal."""
        columns = grouped_columns(gallery, layout.order)
        return cls(queries, columns, layout, *columns.equal(), keep, full)


class Ranker(Protocol):
    """Ranks the gallery for a block of queries; one object serves one thread at a time."""

    def ranked(self, rows: slice) -> Iterator[RankedBlock]:
        """Yield the queries of one block in order, a few at a time."""
        ...


def ranked_block(
    layout: Layout,
    rows: slice,
    nearest: Neighbors,
    similarities: Scores,
    ranks: tuple[Ints, Ints] | None,
    *,
    listed: Scores | None = None,
) -> RankedBlock:
    """Return a block from columns and ranks.

    nearest: int32 ``(queries, K)`` columns, best first, -1 where there are no more. ranks: the pessimistic and the
    optimistic ones, int64 ``(sum of R,)``, ascending within a query; None where only the top was asked for.
    listed: where the positives have gains, their scores, float32 ``(cells of the block,)``, -inf for what is left out;
    None: as far as the nearest columns show them.
    """
    worst = best = None
    alike = ranks is None or np.array_equal(*ranks)
    if layout.positives is not None and layout.positives.gains is not None:
        scores = _listed_scores(layout, rows, nearest, similarities) if listed is None else listed
        worst, best = ordered_gains(layout.positives, layout.positives.gains, rows, scores)
        alike = alike and np.array_equal(worst.values, best.values)
    if ranks is None:
        pessimistic = optimistic = _top_ranks(nearest, layout, rows, worst)
    else:
        offsets = relevant_offsets(layout, rows)
        pessimistic = Ranks(ranks[0], offsets, layout.items[rows], gains=worst)
        optimistic = pessimistic if alike else Ranks(ranks[1], offsets, layout.items[rows], gains=best)
    return RankedBlock(rows, pessimistic, optimistic, *known_neighbors(layout, nearest), similarities)


def known_neighbors(layout: Layout, nearest: Neighbors) -> tuple[Neighbors, Ints]:
    """Return gallery positions and label numbers of columns, -1 where there is none: a block's neighbours."""
    exists = nearest >= 0
    neighbors = np.where(exists, layout.order[nearest], -1).astype(np.int32)
    return neighbors, np.where(exists, layout.labels[nearest], -1)


def relevant_offsets(layout: Layout, rows: slice) -> Ints:
    """Return where each query's ranks begin in one flat array, int64 ``(queries + 1,)``."""
    return offsets_of(layout.relevant[rows])


def tiled(rows: Vectors, tile: int) -> Vectors:
    """Return the rows and as many rows of zeros as fill the last tile."""
    if len(rows) % tile == 0:
        return rows
    filled = np.zeros((round_up(len(rows), tile), rows.shape[1]), dtype=np.float32)
    filled[: len(rows)] = rows
    return filled


def round_up(n: int, multiple: int) -> int:
    """Return the smallest multiple that is at least n."""
    return -(-n // multiple) * multiple


def _top_ranks(nearest: Neighbors, layout: Layout, rows: slice, gains: Gains | None) -> Ranks:
    """Return the pessimistic ranks that the nearest columns show: they stand with equal scores against the query."""
    relevant = layout.is_relevant(rows, nearest)
    place = np.nonzero(relevant)[1] + 1
    return Ranks(
        place,
        offsets_of(relevant.sum(axis=1)),
        layout.items[rows],
        layout.relevant[rows],
        depth=nearest.shape[1],
        gains=gains,
    )


def _listed_scores(layout: Layout, rows: slice, nearest: Neighbors, similarities: Scores) -> Scores:
    """Return the scores of a block's listed columns: those of the nearest, and less than any for the others."""
    lists = layout.positives
    if lists is None:
        return np.empty(0, dtype=np.float32)
    begin = lists.offsets[rows.start]
    columns = lists.columns[begin : lists.offsets[rows.stop]]
    scores = np.where(np.isin(columns, layout.left_out), -np.inf, np.finfo(np.float32).min).astype(np.float32)
    query = np.repeat(np.arange(rows.start, rows.stop), nearest.shape[1])
    cell = lists.place(query, nearest.ravel()) - begin
    scores[cell[cell >= 0]] = similarities.ravel()[cell >= 0]
    return scores
