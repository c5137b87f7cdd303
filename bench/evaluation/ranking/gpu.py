"""The ranking on a GPU: products, counting and the best of every row, in torch; ranks stay on the device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from bench.devices import SHARE, fetches, free_bytes
from bench.evaluation.ranking.arrays import Floats, Ints, Neighbors, Scores
from bench.evaluation.ranking.backend import Problem, RankedBlock, known_neighbors, ranked_block
from bench.evaluation.ranking.counting import Counted, count_ranks, nearest_columns
from bench.evaluation.ranking.device_ranks import DeviceRanks
from bench.evaluation.ranking.device_rows import there
from bench.evaluation.ranking.fronts import place_in_list
from bench.evaluation.ranking.lists import Lists
from bench.evaluation.ranking.relevance import Layout

_FEWEST_CELLS, _MOST_CELLS = 1 << 24, 1 << 28  # scores of a block, and four more for each relevant one
_BYTES = 64  # of a cell at the most, with what is worked out from it


class OnDevice:
    """Ranks a block of queries on a torch device.

    The gallery is copied to the device once; one that is too large for that, once for each block. Apple's GPUs have no
    float64 and multiply only: the rest is done by the same code on the CPU.
    """

    def __init__(self, problem: Problem, device: str) -> None:
        self._queries, self._columns, self._layout = problem.queries, problem.columns, problem.layout
        self._keep, self._full = problem.keep, problem.full
        self._device = torch.device(device)
        self._counts_on = torch.device("cpu") if self._device.type == "mps" else self._device
        self._copies = torch.from_numpy(problem.copies).to(self._counts_on)
        self._originals = torch.from_numpy(problem.originals).to(self._counts_on)
        # for a block, and for a gallery that is to lie there whole; 0 where nobody says: the least is used then
        self._room = int(SHARE * free_bytes(self._device)) if fetches(self._device) else 0
        self._held = self._whole_gallery()

    def fitting_rows(self) -> int:
        """Return how many queries to rank at once."""
        cells = min(_MOST_CELLS, max(_FEWEST_CELLS, int(self._room / _BYTES)))
        return max(1, cells // (self._columns.padded + 4 * _most_relevant(self._layout, slice(None))))

    def ranked(self, rows: slice) -> Iterator[RankedBlock]:
        """Yield the whole block at once."""
        yield self._ranked(self._scores(rows), rows, self._layout)

    def ranked_without(self, rows: slice, layouts: Sequence[Layout]) -> Iterator[tuple[int, RankedBlock]]:
        """Yield the block as each layout has it, by its place; the scores are made once.

        layouts: the problem's own with some columns left out.
        """
        scores = self._scores(rows)
        for place, layout in enumerate(layouts):
            gone = torch.from_numpy(layout.left_out).to(self._counts_on)
            seen = scores[:, gone]
            scores[:, gone] = -torch.inf
            yield place, self._ranked(scores, rows, layout)
            scores[:, gone] = seen

    def reached(self, rows: slice, limits: Scores) -> tuple[Ints, Floats]:
        """Return how many scores of a block reach each limit, and the highest of each query.

        First of what is relevant to the query, then of all else: int64 ``(2, limits)``, and float64 ``(2, queries)``,
        -inf where there is none.
        """
        scores = self._scores(rows)
        own, _ = self._relevant(scores, rows, self._layout)
        counts, highest = [], []
        for hidden in (~own, own):
            seen = scores.masked_fill(hidden, -torch.inf)
            counts.append(torch.stack([(seen >= limit).sum() for limit in limits.tolist()]))
            highest.append(seen.amax(dim=1).double())
        return torch.stack(counts).cpu().numpy(), torch.stack(highest).cpu().numpy()

    def _ranked(self, scores: Tensor, rows: slice, layout: Layout) -> RankedBlock:
        is_relevant, relevant = self._relevant(scores, rows, layout)
        columns, similarities = nearest_columns(scores, is_relevant, self._keep)
        nearest: Neighbors = columns.cpu().numpy().astype(np.int32)
        shown: Scores = np.where(nearest >= 0, similarities.cpu().numpy(), np.float32(np.nan))
        lists = layout.positives
        if not self._full:
            return ranked_block(layout, rows, nearest, shown, None, listed=self._listed(scores, rows, lists))
        counted = count_ranks(scores, relevant)
        if lists is not None and lists.gains is not None:  # which lie on the host, and order the ranks
            ranks = tuple(one[counted.known].cpu().numpy() for one in (counted.worst, counted.best))
            return ranked_block(
                layout, rows, nearest, shown, (ranks[0], ranks[1]), listed=self._listed(scores, rows, lists)
            )
        return RankedBlock(rows, *_orders(counted, layout, rows), *known_neighbors(layout, nearest), shown)

    def _relevant(self, scores: Tensor, rows: slice, layout: Layout) -> tuple[Tensor, Tensor]:
        """Return which columns are relevant, bool ``(queries, N)``, and their scores, float32 ``(queries, W)``.

        W: the most that a query has; -inf behind the last.
        """
        width, device = _most_relevant(layout, rows), self._counts_on
        if layout.positives is not None:
            row, column, place = self._cells(layout.positives, rows)
            relevant = torch.zeros(scores.shape, dtype=torch.bool, device=device)
            relevant[row, column] = True
            found = torch.full((len(scores), width), -torch.inf, device=device)
            found[row, place] = scores[row, column]
            return relevant, found
        start, stop = (torch.from_numpy(ends[rows]).to(device)[:, None] for ends in (layout.start, layout.stop))
        column = torch.arange(scores.shape[1], device=device)
        place = torch.arange(width, device=device) + start
        found = scores.gather(1, place.clamp_max(scores.shape[1] - 1))
        return (column >= start) & (column < stop), found.masked_fill(place >= stop, -torch.inf)

    def _cells(self, lists: Lists, rows: slice) -> tuple[Tensor, ...]:
        """Return the row, the column and the place in its list of each listed cell of a block, int64 ``(cells,)``."""
        row, column = lists.rows(rows)
        return tuple(
            torch.from_numpy(one).to(self._counts_on).long() for one in (row, column, place_in_list(lists, rows))
        )

    def _listed(self, scores: Tensor, rows: slice, lists: Lists | None) -> Scores | None:
        """Return the scores of the positives where they have gains, which order them; float32 ``(cells,)``."""
        if lists is None or lists.gains is None:
            return None
        row, column, _ = self._cells(lists, rows)
        found: Scores = scores[row, column].cpu().numpy()
        return found

    def _scores(self, rows: slice) -> Tensor:
        """Return the scores of a block, float32 ``(queries, N)``, -inf where excluded, equal for equal columns."""
        query = there(self._queries, rows).to(self._device)
        scores = torch.empty((len(query), self._columns.padded), dtype=torch.float32, device=self._device)
        with _exact_products():
            if self._held is not None:
                torch.mm(query, self._held.T, out=scores)
            else:
                for here, vectors in self._columns.chunks():
                    scores[:, here] = query @ torch.from_numpy(vectors).to(self._device).T
        scores = scores[:, : self._layout.columns].to(self._counts_on)
        scores[:, self._copies] = scores[:, self._originals]
        row, column = (torch.from_numpy(one).to(self._counts_on) for one in self._layout.excluded.rows(rows))
        scores[row, column.long()] = -torch.inf
        return scores + 0.0  # -0 becomes 0: places by bits would tell them apart

    def _whole_gallery(self) -> Tensor | None:
        """Return the columns as rows on the device, whole tiles, float32; None where they take too much of it."""
        columns = self._columns
        if columns.held is not None:
            return torch.from_numpy(columns.held).to(self._device)
        if 4 * columns.padded * columns.gallery.dimension > self._room and columns.there is None:
            return None
        held = torch.zeros((columns.padded, columns.gallery.dimension), dtype=torch.float32, device=self._device)
        if columns.there is not None:
            held[: len(columns)] = columns.there
            return held
        for here, vectors in columns.chunks():
            held[here] = torch.from_numpy(vectors).to(self._device)
        return held


def _orders(counted: Counted, layout: Layout, rows: slice) -> tuple[DeviceRanks, DeviceRanks]:
    """Return the pessimistic and the optimistic order; the same one twice where no tie tells them apart."""
    facts = counted.known, layout.relevant[rows], layout.items[rows]
    worst, best = DeviceRanks(counted.worst, *facts), DeviceRanks(counted.best, *facts)
    return worst, best if worst.differs(best).any() else worst


def _most_relevant(layout: Layout, rows: slice) -> int:
    """Return the largest number of relevant columns of a query, excluded ones among them."""
    if layout.positives is not None:
        return int(layout.positives.sizes[rows].max(initial=0))
    return int((layout.stop[rows] - layout.start[rows]).max(initial=0))


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
