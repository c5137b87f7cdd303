"""The ranking on a GPU: products and a stable sort of every row, in torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from bench.evaluation.ranking.arrays import Ints, Neighbors, Scores
from bench.evaluation.ranking.backend import Problem, RankedBlock, ranked_block

_BLOCK_CELLS = 1 << 24  # scores of a block: with their sort about 50 bytes each, 800 MB on the device


def device_rows(columns: int) -> int:
    """Return how many queries to rank at once."""
    return max(1, _BLOCK_CELLS // columns)


class OnDevice:
    """Ranks a block of queries on a torch device.

    A gallery that is held in memory is copied to the device once, a larger one once for each block.
    """

    def __init__(self, problem: Problem, device: str) -> None:
        self._queries, self._columns, self._layout = problem.queries, problem.columns, problem.layout
        self._keep, self._full = problem.keep, problem.full
        self._device = torch.device(device)
        self._copies = torch.from_numpy(problem.copies).to(self._device)
        self._originals = torch.from_numpy(problem.originals).to(self._device)
        held = problem.columns.held
        self._held = None if held is None else torch.from_numpy(held).to(self._device)

    def ranked(self, rows: slice) -> Iterator[RankedBlock]:
        """Yield the whole block at once."""
        scores = self._scores(rows)
        source, others = self._against_the_query(rows, scores.shape[1])
        ordered, place = scores.gather(1, source).sort(dim=1, descending=True, stable=True)
        exists = ordered > -torch.inf
        columns = torch.where(exists, source.gather(1, place), -1)
        relevant = exists & (place >= others)
        ranks = _both_ranks(ordered, relevant) if self._full else None
        listed = self._listed_scores(rows, scores)
        yield ranked_block(self._layout, rows, *_top(ordered, columns, self._keep), ranks, listed=listed)

    def _listed_scores(self, rows: slice, scores: torch.Tensor) -> Scores | None:
        """Return the scores of the positives where they have gains, which order them; float32 ``(cells,)``."""
        lists = self._layout.positives
        if lists is None or lists.gains is None:
            return None
        row, column = (torch.from_numpy(one).to(self._device).long() for one in lists.rows(rows))
        found: Scores = scores[row, column].cpu().numpy()
        return found

    def _against_the_query(self, rows: slice, columns: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return all columns with each row's relevant ones moved to the end, int64 ``(queries, N)``.

        And how many others come before them, ``(queries, 1)``. A stable sort of scores in this order puts equal ones as
        ``kernel.nearest_columns`` does.
        """
        lists = self._layout.positives
        if lists is not None:
            listed = torch.zeros((rows.stop - rows.start, columns), dtype=torch.uint8, device=self._device)
            row, column = lists.rows(rows)
            listed[torch.from_numpy(row).to(self._device), torch.from_numpy(column).to(self._device).long()] = 1
            return listed.sort(dim=1, stable=True).indices, columns - listed.sum(dim=1, keepdim=True)
        start, stop = (
            torch.from_numpy(ends[rows]).to(self._device)[:, None] for ends in (self._layout.start, self._layout.stop)
        )
        size = stop - start
        place = torch.arange(columns, device=self._device)[None]
        others = columns - size
        return torch.where(place < others, place + size * (place >= start), place - others + start), others

    def _scores(self, rows: slice) -> torch.Tensor:
        """Return the scores of a block, float32 ``(queries, N)``, -inf where excluded, equal for equal columns."""
        query = torch.from_numpy(self._queries.take(rows)).to(self._device)
        scores = torch.empty((len(query), self._columns.padded), dtype=torch.float32, device=self._device)
        with _exact_products():
            if self._held is not None:
                torch.mm(query, self._held.T, out=scores)
            else:
                for here, vectors in self._columns.chunks():
                    scores[:, here] = query @ torch.from_numpy(vectors).to(self._device).T
        scores = scores[:, : self._layout.columns]
        scores[:, self._copies] = scores[:, self._originals]
        row, column = (torch.from_numpy(one).to(self._device) for one in self._layout.excluded.rows(rows))
        scores[row, column.long()] = -torch.inf
        return scores + 0.0  # -0 becomes 0: a sort by bits would tell them apart


def _both_ranks(ordered: torch.Tensor, relevant: torch.Tensor) -> tuple[Ints, Ints]:
    """Return pessimistic and optimistic ranks of the relevant items, row after row, from rows that are sorted.

    Sorted so, an item's place is its pessimistic rank. Its optimistic one lets the relevant items go first among
    equals: the place where these equals begin, and how many relevant ones among them come up to it.
    """
    place = torch.arange(ordered.shape[1], device=ordered.device)[None]
    begins = torch.ones_like(relevant)
    begins[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    first = torch.where(begins, place, 0).cummax(dim=1).values
    found = relevant.cumsum(dim=1)
    before = (found - relevant.long()).gather(1, first)
    best = first + found - before
    worst = (place + 1).expand_as(best)
    return worst[relevant].cpu().numpy(), best[relevant].cpu().numpy()


def _top(ordered: torch.Tensor, columns: torch.Tensor, keep: int) -> tuple[Neighbors, Scores]:
    nearest = columns[:, :keep].cpu().numpy().astype(np.int32)
    similarities = ordered[:, :keep].cpu().numpy()
    return nearest, np.where(nearest >= 0, similarities, np.float32(np.nan))


@contextmanager
def _exact_products() -> Iterator[None]:
    """Multiply in float32 proper, whatever a caller has set for his training."""
    products = torch.backends.cuda.matmul  # one of its two interfaces: torch refuses to read one after the other
    before = products.fp32_precision
    products.fp32_precision = "ieee"
    try:
        yield
    finally:
        products.fp32_precision = before
