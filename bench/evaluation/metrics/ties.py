"""Equal scores: what they do to a metric when they count against you, for you, or on average.

Items with one score could stand in any order. ``pessimistic``, the default of MAP and of every other metric, puts
every non-relevant one first, ``optimistic`` last, and ``mean`` takes the exact expected value over all orders, all
equally likely. The closed forms follow McSherry and Najork, "Computing information retrieval performance measures
efficiently in the presence of tied scores", ECIR 2008.

Where items have gains, equal scores of relevant ones matter too: the lower gain stands first in a pessimistic order,
the higher in an optimistic one, and each rank of a tied run is expected to have the mean gain of the run.

Pessimistic and optimistic ranks together say where the ties are: for the relevant item at place p among the relevant
ones, optimistic - p items that are not relevant score higher, and pessimistic - optimistic score the same.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.contract import UsageError
from bench.evaluation.metrics import ranking
from bench.evaluation.metrics.metric import TIES
from bench.evaluation.ranking.arrays import Floats, Ints
from bench.evaluation.ranking.gains import Gains
from bench.evaluation.ranking.ranks import Ranks

if TYPE_CHECKING:
    from bench.evaluation.ranking.device_ranks import DeviceRanks


def score_with_ties(
    pessimistic: Ranks | DeviceRanks,
    optimistic: Ranks | DeviceRanks,
    ks: Sequence[int],
    ties: str,
    extra: Collection[str] = (),
) -> dict[str, Floats]:
    """Return every ranking metric by name, and the extra ones asked for, float64 ``(q,)``, with ties as asked."""
    return ranking.score_ranks(tied_order(pessimistic, optimistic, ties), ks, extra)


def tied_order(
    pessimistic: Ranks | DeviceRanks, optimistic: Ranks | DeviceRanks, ties: str
) -> Ranks | DeviceRanks | ExpectedRanks:
    """Return the order that metrics are of, with ties as asked."""
    if ties not in TIES:
        raise UsageError(f"unknown ties {ties!r} (known: {', '.join(TIES)})")
    if ties == "mean":
        return ExpectedRanks.of(pessimistic.on_host(), optimistic.on_host())
    return pessimistic if ties == "pessimistic" else optimistic


def tied_queries(pessimistic: Ranks | DeviceRanks, optimistic: Ranks | DeviceRanks) -> Floats:
    """Return 1 where ties change a rank of the query and 0 where not, float64 ``(q,)``; NaN where R = 0.

    Where items have gains, a rank that another gain may have is changed, too.
    """
    return ranking.known(pessimistic, pessimistic.differs(optimistic))


@dataclass(frozen=True)
class _Groups:
    """Runs of relevant items that share their ties; int64, one entry a run.

    query: whose run it is; before: items of any kind ranked above the run; found: relevant ones among those;
    relevant and others: how many of each kind share the ranks before + 1 .. before + relevant + others; gain: float64,
    what the relevant ones are worth together, None where each is worth 1.
    """

    query: Ints
    before: Ints
    found: Ints
    relevant: Ints
    others: Ints
    gain: Floats | None = None

    @property
    def worth(self) -> Floats | Ints:
        return self.relevant if self.gain is None else self.gain

    @property
    def size(self) -> Ints:
        return self.relevant + self.others

    def within(self, cutoff: int | Ints) -> Ints:
        """Return how many of the run's ranks are at most the cutoff: one number, or one number a query."""
        limit = cutoff if isinstance(cutoff, int) else cutoff[self.query]
        return np.clip(limit - self.before, 0, self.size)

    def total(self, values: NDArray[Any], queries: int) -> Floats:
        """Return the sum of one value a run over each query, float64 ``(q,)``."""
        return np.bincount(self.query, weights=values.astype(np.float64), minlength=queries).astype(np.float64)


def _groups(pessimistic: Ranks, optimistic: Ranks) -> _Groups:
    """Return the runs, in the order of the ranking."""
    query, position = optimistic.query, optimistic.position
    higher, others = optimistic.values - position, pessimistic.values - optimistic.values
    starts = np.ones(len(query), dtype=bool)
    starts[1:] = (np.diff(query) != 0) | (np.diff(higher) != 0) | (np.diff(others) != 0)
    gains = optimistic.gains
    if gains is not None:  # relevant items in a row are no tie unless their scores are equal
        starts[1:] |= np.diff(gains.run) != 0
    first = np.flatnonzero(starts)
    return _Groups(
        query=query[first],
        before=optimistic.values[first] - 1,
        found=position[first] - 1,
        relevant=np.diff(np.append(first, len(query))),
        others=others[first],
        gain=None if gains is None else np.add.reduceat(gains.values, first),
    )


@dataclass(frozen=True)
class ExpectedRanks:
    """The expected value of what a metric asks of an order, over all orders of tied items: an ``Order`` itself.

    Denominators do not depend on the order, so each metric's expectation is that of a sum over ranks. relevant, items:
    R and N, int64 ``(q,)``; gains: of the relevant items, in any order within a tie.
    """

    groups: _Groups
    relevant: Ints
    items: Ints
    gains: Gains | None = None
    depth: None = None

    @classmethod
    def of(cls, pessimistic: Ranks, optimistic: Ranks) -> ExpectedRanks:
        """Return the expectation over the orders that lie between two whole ones."""
        return cls(_groups(pessimistic, optimistic), optimistic.relevant, optimistic.items, optimistic.gains)

    @classmethod
    def shuffled(cls, relevant: Ints, items: Ints) -> ExpectedRanks:
        """Return the expectation over all orders there are: what a ranking scores by chance."""
        none = np.zeros(len(items), dtype=np.int64)
        query = np.arange(len(items), dtype=np.int64)
        return cls(_Groups(query, none, none, relevant, items - relevant), relevant, items)

    @cached_property
    def sums(self) -> Floats:
        """Expected sums, float64 ``(q, 4)``: see ``ranking.Order``."""
        places = self.groups.relevant * (self.groups.before + (self.groups.size + 1) / 2)
        total = self.groups.total(places, len(self.items))
        every = int(self.items.max(initial=0))
        parts = (self.precisions(every), total, self.precisions(self.relevant), self.hits(self.relevant))
        return np.stack(parts, axis=1)

    def hits(self, k: int | Ints) -> Floats:
        """Expected hits up to k: any rank of a run holds a relevant item with chance relevant / size."""
        groups = self.groups
        return groups.total(groups.relevant / groups.size * groups.within(k), len(self.items))

    def discounts(self, k: int) -> Floats:
        """Expected DCG@k: the run's discounts up to k, times the gain that a rank of it has on average."""
        groups = self.groups
        table = ranking.cumulative_discount(min(k, int(self.items.max(initial=0))))
        begin = np.minimum(groups.before, len(table) - 1)
        discounts = table[begin + groups.within(k)] - table[begin]
        return groups.total(groups.worth / groups.size * discounts, len(self.items))

    def precisions(self, k: int | Ints) -> Floats:
        """Expected sum of P@j over relevant ranks j up to k.

        The p-th rank of a run (t items before it, a of them relevant; r relevant of n in it) holds a relevant item with
        chance r/n, and then (p - 1)(r - 1)/(n - 1) of the run's others before it are relevant on average. So the run
        adds r/n * sum over p of (a + 1 + (p - 1)(r - 1)/(n - 1)) / (t + p), which harmonic numbers sum up.
        """
        groups = self.groups
        r, n, t, count = groups.relevant, groups.size, groups.before, groups.within(k)
        harmonic = _harmonic(1 << int(self.items.max(initial=0)).bit_length())
        reciprocal = harmonic[t + count] - harmonic[t]  # sum of 1 / (t + p) over p = 1..count
        weighted = count - (t + 1) * reciprocal  # sum of (p - 1) / (t + p): near-equal terms, hence extended precision
        spread = (r - 1) / np.maximum(n - 1, 1)
        return groups.total(r / n * ((groups.found + 1) * reciprocal + spread * weighted), len(self.items))

    @property
    def trapezoids(self) -> Floats:
        """Expected sum over relevant ranks j of (P@(j - 1) + P@j) / 2, P@0 = 1: as ``precisions``, one rank earlier."""
        groups = self.groups
        r, n, t = groups.relevant, groups.size, groups.before
        harmonic = _harmonic(1 << int(self.items.max(initial=0)).bit_length())
        reciprocal = harmonic[t + n - (t + n > 0)] - harmonic[np.maximum(t - 1, 0)]  # sum of 1 / (t + p - 1), if t > 0
        spread = (r - 1) / np.maximum(n - 1, 1)
        inside = groups.found * reciprocal + spread * (n - t * reciprocal)
        before = np.where(t > 0, inside, 1 + (n - 1) * spread)
        every = int(self.items.max(initial=0))
        return (groups.total(np.where(r > 0, r / n * before, 0.0), len(self.items)) + self.precisions(every)) / 2

    @property
    def last_inverse(self) -> Floats:
        """Expected 1 / rank of the last relevant item."""
        return self._of_last(lambda rank, _: np.reciprocal(rank))

    def precision_to_last(self, k: int) -> Floats:
        """Expected hits in the first k over k, or over the rank of the last relevant item where that is less."""
        found = self._of_last(lambda rank, relevant: np.where(rank < k, relevant / rank - relevant / k, 0.0))
        return self.hits(k) / k + found

    def _of_last(self, value: Callable[[Floats, Any], NDArray[Any]]) -> Floats:
        """Return the expectation of a value of the last relevant item's rank and R; NaN where R = 0.

        Within its run it stands as the first does, counted from the end.
        """
        groups = self.groups
        runs = np.flatnonzero((groups.found + groups.relevant == self.relevant[groups.query]) & (groups.relevant > 0))
        query, end = groups.query[runs], (groups.before + groups.size)[runs].astype(np.float64)
        found = self._by_query(query, value(end, self.relevant[query]))
        for run in runs[groups.others[runs] > 0]:
            chance = _first_place(int(groups.relevant[run]), int(groups.others[run]))
            rank = (groups.before[run] + groups.size[run] - np.arange(len(chance))).astype(np.float64)
            owner = groups.query[run]
            found[owner] = (chance * value(rank, int(self.relevant[owner]))).sum()
        return found

    @property
    def first(self) -> Floats:
        """Of n items in random order, r of them relevant, the first relevant stands at (n + 1) / (r + 1) on average."""
        query, before, relevant, others = self._first_runs
        return self._by_query(query, before + (relevant + others + 1) / (relevant + 1))

    @property
    def first_inverse(self) -> Floats:
        """Expected 1 / rank of the first relevant item."""
        query, before, _, others = self._first_runs
        inverse = self._by_query(query, 1.0 / (before + 1))
        for one in np.flatnonzero(others > 0):
            start, chance = int(before[one]), self._first_places[int(one)]
            inverse[query[one]] = (chance / np.arange(start + 1, start + 1 + len(chance))).sum()
        return inverse

    def any_hit(self, k: int) -> Floats:
        """Return the chance of a relevant item in the first k."""
        query, before, _, others = self._first_runs
        hit = self._by_query(query, (before < k).astype(np.float64))
        for one in np.flatnonzero(others > 0):
            hit[query[one]] = min(1.0, self._first_places[int(one)][: max(0, k - int(before[one]))].sum())
        return hit

    @cached_property
    def _first_runs(self) -> tuple[Ints, Ints, Ints, Ints]:
        """Each query's first run with a relevant item: its query, items before it, relevant ones and others in it."""
        groups = self.groups
        runs = np.flatnonzero((groups.found == 0) & (groups.relevant > 0))
        return groups.query[runs], groups.before[runs], groups.relevant[runs], groups.others[runs]

    @cached_property
    def _first_places(self) -> dict[int, Floats]:
        """Where in each first run that is tied its first relevant item stands, by the run: see ``_first_place``."""
        _, _, relevant, others = self._first_runs
        return {int(one): _first_place(int(relevant[one]), int(others[one])) for one in np.flatnonzero(others > 0)}

    def _by_query(self, query: Ints, values: NDArray[Any]) -> Floats:
        found = np.full(len(self.items), np.nan)
        found[query] = values
        return found


@lru_cache(maxsize=2)
def _harmonic(length: int) -> NDArray[np.longdouble]:
    """Return the harmonic numbers H(0)..H(length) in extended precision, read-only."""
    table = np.zeros(length + 1, dtype=np.longdouble)
    np.cumsum(1 / np.arange(1, length + 1, dtype=np.longdouble), out=table[1:])
    table.flags.writeable = False
    return table


def _first_place(relevant: int, others: int) -> Floats:
    """Return the chance that the first relevant item stands at place 1, 2, ..., others + 1 of a shuffled run.

    Negative hypergeometric: p(1) = r / n, p(x + 1) = p(x) (n - r - x + 1) / (n - x), n items, r of them relevant.
    """
    size = relevant + others
    x = np.arange(1, others + 1)
    steps = np.concatenate(([relevant / size], (others - x + 1) / (size - x)))
    chance: Floats = np.cumprod(steps, dtype=np.float64)
    return chance
