"""Every score of an evaluation with each group of images, or of classes, left out: what its intervals are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bench.evaluation.ranking.arrays import Floats, Ints, Neighbors, Scores
from bench.evaluation.ranking.backend import Problem, RankedBlock, ranked_block
from bench.evaluation.ranking.engine import rank_without
from bench.evaluation.ranking.ranks import Ranks
from bench.evaluation.ranking.relevance import Layout
from bench.evaluation.ranking.retrieval_set import RetrievalSet
from bench.evaluation.statistics.jackknife import Groups

S = TypeVar("S", np.int32, np.float32)
Score = Callable[[RankedBlock, Ints], Mapping[str, Floats]]  # a block and its queries' labels to metric values

_RANKED_AGAIN = 1 << 26  # scores that are gone through again, at least: a quarter of a second
_SHARE = 100  # of a large evaluation's queries, one in so many is ranked again
_FEWEST = 64
_NEAREST = 10  # a first hit further down matters little to mrr


@dataclass(frozen=True)
class Ranked:
    """A finished evaluation, to be repeated without some of its images.

    score: what made its values; values: float64 ``(q,)`` by metric, NaN where a query has nothing to find; neighbors:
    int32 ``(q, K)`` gallery positions, best first, -1 past the end; similarities: float32 ``(q, K)``; full: whether
    whole rankings were scored, and not the first neighbours alone; device: where they were ranked.
    """

    data: RetrievalSet
    score: Score
    values: Mapping[str, Floats]
    neighbors: Neighbors
    similarities: Scores
    full: bool
    device: str = "cpu"

    def replicates(self, groups: Groups, *, threads: int) -> dict[str, Floats]:
        """Return each metric's mean over queries without each group, float64 ``(groups,)``.

        What a query's value becomes without some items is worked out exactly for as many queries as there is time for
        (all of them up to about 2,000 x 2,000), and from the first neighbours for all. In a larger evaluation the mean
        change is that of the first neighbours, over all queries, plus what it misses of the exact change, over some:
        the two-phase difference estimator (Cochran, Sampling Techniques, 1977, chapter 12). Metrics of the first k are
        exact all the same, while their neighbours last.
        """
        layouts = [self.data.layout.without(groups.gallery == group) for group in range(groups.count)]
        chosen = self._ranked_again(groups.count) if self.full else np.empty(0, dtype=np.int64)
        changes = self._exact_changes(chosen, layouts, threads) if self.full else [{} for _ in layouts]
        near = len(chosen) < len(self.data.layout)
        before = self._nearest if near else {}  # once, and not in every thread

        def without(group: int) -> dict[str, float]:
            stays = (groups.query != group) & (layouts[group].relevant > 0)
            cheap = self._near_changes(layouts[group], before) if near else {}
            return {
                name: _mean(values[stays], np.nan) + _change(stays, chosen, changes[group].get(name), cheap.get(name))
                for name, values in self.values.items()
            }

        with ThreadPoolExecutor(threads) as pool:
            found = list(pool.map(without, range(groups.count)))
        return {name: np.array([one[name] for one in found]) for name in self.values}

    def _ranked_again(self, count: int) -> Ints:
        """Return the queries whose whole ranking is made again without each group: int64, spread over the labels."""
        layout = self.data.layout
        queries = len(layout)
        wanted = max(_FEWEST, _RANKED_AGAIN // (count * layout.columns), queries // _SHARE)
        if wanted >= queries:
            return np.arange(queries)
        return np.sort(np.argsort(layout.start, kind="stable")[np.arange(wanted) * queries // wanted])

    def _exact_changes(self, chosen: Ints, layouts: Sequence[Layout], threads: int) -> list[dict[str, Floats]]:
        """Return by group what the chosen queries' values change by, float64 ``(chosen,)`` by metric."""
        labels = self.data.query_labels[chosen]
        problem = replace(self._problem, queries=self.data.query.some(chosen), layout=self.data.layout.subset(chosen))
        blocks = rank_without(
            problem,
            [layout.subset(chosen) for layout in layouts],
            lambda block: self.score(block, labels[block.rows]),
            threads=threads,
            device=self.device,
        )
        return [
            {name: np.concatenate([block[name] for block in group]) - self.values[name][chosen] for name in group[0]}
            for group in blocks
        ]

    @cached_property
    def _problem(self) -> Problem:
        """What is ranked again: the same for groups of images and of classes."""
        data = self.data
        return Problem.of(data.query, data.gallery, data.layout, keep=self.neighbors.shape[1], full=True)

    def _near_changes(self, layout: Layout, before: Mapping[str, Floats]) -> dict[str, Floats]:
        """Return what values change by, as far as the first neighbours show it, float64 ``(q,)`` by metric."""
        values = self._near_values(layout)
        return {name: values[name] - value for name, value in before.items()}

    @cached_property
    def _nearest(self) -> dict[str, Floats]:
        return self._near_values(self.data.layout)

    @cached_property
    def _columns(self) -> Neighbors:
        """The neighbours as columns of the layout, int32 ``(q, K)``, -1 past the end."""
        place = np.empty(self.data.layout.columns + 1, dtype=np.int32)
        place[self.data.layout.order] = np.arange(self.data.layout.columns)
        place[-1] = -1
        return place[self.neighbors]

    def _near_values(self, layout: Layout) -> dict[str, Floats]:
        """Return what the first neighbours that a layout leaves say of every query."""
        gone = np.zeros(layout.columns + 1, dtype=np.bool_)
        gone[layout.left_out] = gone[-1] = True
        stays = ~gone[self._columns]
        nearest, similarities = _moved_up(self._columns, stays, -1), _moved_up(self.similarities, stays, np.nan)
        block = ranked_block(layout, slice(0, len(layout)), nearest, similarities, None)
        values = {name: one for name, one in self.score(block, self.data.query_labels).items() if "@" in name}
        if self.full:
            values |= _top_values(block.pessimistic.on_host(), nearest.shape[1])
        return values


def _moved_up(values: NDArray[S], stays: NDArray[np.bool_], empty: float) -> NDArray[S]:
    """Return the values of each row that stay, in their order from the first place on, and behind them ``empty``."""
    moved = np.full_like(values, empty)
    moved[np.arange(values.shape[1]) < stays.sum(axis=1, keepdims=True)] = values[stays]
    return moved


def _top_values(ranks: Ranks, depth: int) -> dict[str, Floats]:
    """Return stand-ins for metrics of whole rankings, from their first items; 0 where those do not decide them."""
    relevant = ranks.relevant
    near = ranks.within(min(depth, _NEAREST))
    values = {"mrr": near.total((near.position == 1) / near.rank)}
    few = (relevant > 0) & (relevant <= depth)
    if not few.any():
        return values
    top = ranks.within(depth)
    early = top.rank <= relevant[top.query]
    precision = top.position / top.rank
    whole = _over(top.total(precision), relevant, few)
    return values | {
        "map": whole,
        "map_optimistic": whole,
        "map@r": _over(top.total(precision * early), relevant, few),
        "r_precision": _over(top.total(early.astype(np.float64)), relevant, few),
    }


def _over(total: Floats, divisor: Ints, where: NDArray[np.bool_]) -> Floats:
    return np.divide(total, divisor, out=np.zeros(len(total)), where=where)


def _change(stays: NDArray[np.bool_], chosen: Ints, exact: Floats | None, cheap: Floats | None) -> float:
    """Return the mean change of the queries that stay.

    exact: float64 ``(chosen,)``; cheap: ``(q,)``, from the first neighbours; each None where it is not known.
    """
    change = 0.0 if cheap is None else _mean(cheap[stays])
    if exact is not None:
        change += _mean((exact if cheap is None else exact - cheap[chosen])[stays[chosen]])
    return change


def _mean(values: Floats, empty: float = 0.0) -> float:
    """Return the mean of the values that are numbers."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else empty
