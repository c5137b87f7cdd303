"""A list of gallery columns for each query: what answers it, or what it may not see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from bench.evaluation.ranking.arrays import Floats, Ints, Neighbors

Matrix: TypeAlias = Any  # scipy.sparse.csr_array, which has no type hints


@dataclass(frozen=True)
class Lists:
    """Compressed rows: a cell for each column that a query lists.

    columns: int32 ``(cells,)``, query after query, ascending within a query and each once.
    offsets: int64 ``(q + 1,)``, where each query's begin.
    gains: float64 ``(cells,)``, above 0, what each is worth to the query; None: all are worth the same.
    """

    columns: Neighbors
    offsets: Ints
    gains: Floats | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @classmethod
    def none(cls, queries: int) -> Lists:
        """Return an empty list for each query."""
        return cls(np.empty(0, dtype=np.int32), np.zeros(queries + 1, dtype=np.int64))

    @classmethod
    def of(cls, columns: NDArray[np.integer], offsets: Ints, gains: Floats | None = None) -> Lists:
        """Return lists whose columns are in any order, and may be there twice; with gains, each of them once."""
        if gains is not None:
            query = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
            order = np.lexsort((columns, query))
            return cls(columns[order].astype(np.int32, copy=False), offsets, gains[order])
        shape = (len(offsets) - 1, int(columns.max(initial=-1)) + 1)
        ordered = csr_array((np.ones(len(columns), dtype=np.bool_), columns, offsets), shape=shape)
        ordered.sum_duplicates()
        return cls(ordered.indices.astype(np.int32, copy=False), ordered.indptr.astype(np.int64, copy=False))

    @classmethod
    def of_cells(cls, listed: NDArray[np.bool_]) -> Lists:
        """Return the lists of a small matrix. listed: bool ``(q, N)``."""
        return cls(np.nonzero(listed)[1].astype(np.int32), offsets_of(listed.sum(axis=1)))

    @cached_property
    def sizes(self) -> Ints:
        """How many columns each query lists, int64 ``(q,)``."""
        return np.diff(self.offsets)

    @cached_property
    def query(self) -> Ints:
        """The query of each cell, int64 ``(cells,)``."""
        return np.repeat(np.arange(len(self), dtype=np.int64), self.sizes)

    def matrix(self, columns: int) -> Matrix:
        """Return what is listed as a sparse boolean matrix ``(q, columns)``."""
        return csr_array((np.ones(len(self.columns), dtype=np.bool_), self.columns, self.offsets), (len(self), columns))

    def gain_matrix(self, columns: int) -> Matrix | None:
        """Return the gains as a sparse float64 matrix ``(q, columns)``; None where there are none."""
        if self.gains is None:
            return None
        return csr_array((self.gains, self.columns, self.offsets), (len(self), columns))

    def rows(self, rows: slice) -> tuple[Ints, Neighbors]:
        """Return the cells of a block of queries: row numbers within the block, and columns."""
        sizes = self.sizes[rows]
        row = np.repeat(np.arange(len(sizes), dtype=np.int64), sizes)
        return row, self.columns[self.offsets[rows.start] : self.offsets[rows.stop]]

    def subset(self, queries: Ints) -> Lists:
        """Return the lists of some queries, int64 row numbers."""
        sizes = self.sizes[queries]
        offsets = offsets_of(sizes)
        place = np.arange(offsets[-1]) + np.repeat(self.offsets[queries] - offsets[:-1], sizes)
        return Lists(self.columns[place], offsets, None if self.gains is None else self.gains[place])

    def where(self, kept: NDArray[np.bool_]) -> Lists:
        """Return the lists with some of their cells. kept: bool ``(cells,)``."""
        gains = None if self.gains is None else self.gains[kept]
        return Lists(self.columns[kept], offsets_of(self.counts(kept)), gains)

    def counts(self, cells: NDArray[np.bool_]) -> Ints:
        """Return how many of each query's cells are chosen, int64 ``(q,)``. cells: bool ``(cells,)``."""
        return np.diff(np.concatenate(([0], np.cumsum(cells)))[self.offsets])

    def joined(self, *others: Lists) -> Lists:
        """Return lists of what is on any of the lists."""
        lists = [one for one in (self, *others) if len(one.columns)]
        if len(lists) < 2:
            return lists[0] if lists else self
        query = np.concatenate([one.query for one in lists])
        order = np.argsort(query, kind="stable")
        sizes = np.sum([one.sizes for one in lists], axis=0)
        return Lists.of(np.concatenate([one.columns for one in lists])[order], offsets_of(sizes))

    def less(self, others: Lists) -> Lists:
        """Return the lists without what the other ones list."""
        place = self.place(others.query, others.columns)
        kept = np.ones(len(self.columns), dtype=np.bool_)
        kept[place[place >= 0]] = False
        return self if kept.all() else self.where(kept)

    def place(self, query: Ints, columns: NDArray[np.integer]) -> Ints:
        """Return the cells that hold these columns of these queries, int64 ``(n,)``; -1 where there is none."""
        if not len(self.columns):
            return np.full(len(query), -1, dtype=np.int64)
        cell = self._first(query, lambda middle: self.columns[middle] >= columns)
        found = cell < self.offsets[query + 1]
        found[found] = self.columns[cell[found]] == columns[found]
        return np.where(found, cell, -1)

    def unlisted(self, query: Ints, place: Ints) -> Ints:
        """Return the ``place``-th column, from 0, of those that a query does not list, int64 ``(n,)``."""
        begin = self.offsets[query]
        passed = self._first(query, lambda middle: self.columns[middle] - (middle - begin) > place) - begin
        return place + passed

    def _first(self, query: Ints, reached: Callable[[Ints], NDArray[np.bool_]]) -> Ints:
        """Return each query's first cell that is reached, its end where none is; what follows one is reached too."""
        low, high = self.offsets[query], self.offsets[query + 1]
        while (unsure := low < high).any():
            middle = np.minimum((low + high) // 2, len(self.columns) - 1)
            there = reached(middle)
            high = np.where(unsure & there, middle, high)
            low = np.where(unsure & ~there, middle + 1, low)
        return low


def offsets_of(sizes: Ints) -> Ints:
    """Return where lists of these sizes begin one after another, and where the last one ends, int64 ``(q + 1,)``."""
    return np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
