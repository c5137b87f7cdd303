"""All tables together: mean ranks over data sets with their critical difference, and a score no one data set can buy.

The largest complete block is compared: the tables, and the methods with a row in each of them at the table's common
budget. Source of ranks and tests: Demsar, "Statistical comparisons of classifiers over multiple data sets", JMLR 7,
2006.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.evaluation.ranking.arrays import Floats
from bench.report.aggregate.row_selection import Chosen, chosen_rows
from bench.report.tables.groups import Table

ALPHA = 0.05
FEW = 5  # data sets: with fewer the tests find next to nothing


@dataclass(frozen=True)
class OverallRank:
    """A method over all data sets.

    scores: by data set, the map's way from chance (0) to perfect (1), a mean over the data set's tables; rank: mean
    over data sets, 1 the best; aggregate: harmonic mean of the scores; worst: the lowest, and on which data set.
    """

    method: str
    rank: float
    aggregate: float
    worst: float
    worst_on: str
    scores: tuple[float, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Apart:
    """A method that is not in every table.

    scores: by data set, None where it lacks a table; missing: the titles of those, with the reason if there is one.
    """

    method: str
    scores: tuple[float | None, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Overall:
    """What all tables say together.

    tables: title -> the budget that its rows have in common; friedman: chi-squared and p, None where it cannot be made;
    critical: the Nemenyi critical difference of mean ranks at 5 %; left_out: tables that are not counted, and why.
    """

    datasets: tuple[str, ...]
    tables: Mapping[str, str]
    ranked: tuple[OverallRank, ...]
    apart: tuple[Apart, ...]
    friedman: tuple[float, float] | None
    critical: float | None
    left_out: tuple[str, ...]

    @property
    def comparable(self) -> bool:
        """Whether there is anything to compare: two data sets and two methods."""
        return len(self.datasets) > 1 and len(self.ranked) > 1


def overall_of(tables: Sequence[Table]) -> Overall:
    """Return what the tables say together. Reads per-query labels for each table's chance level."""
    found = _without_parts([chosen_rows(table) for table in tables])
    usable = [one for one in found if not one.reason]
    kept = _largest_block(usable)
    methods = _common(kept)
    left_out = [f"{one.title}: {one.reason}" for one in found if one.reason]
    left_out += [f"{one.title}: has only {', '.join(sorted(one.scores))}" for one in usable if one not in kept]
    datasets = tuple(sorted({one.dataset for one in kept}))
    by_method = {method: _by_dataset(method, kept, datasets) for method in methods}
    table = np.array([by_method[method] for method in methods], dtype=np.float64).reshape(len(methods), len(datasets))
    ranks = rank_columns(table)
    ranked = [
        _overall_rank(method, row, rank, kept, datasets)
        for method, row, rank in zip(methods, table, ranks, strict=True)
    ]
    others = sorted({method for one in found for method in one.methods} - set(methods))
    return Overall(
        datasets,
        {one.title: str(one.budget) for one in kept},
        tuple(sorted(ranked, key=lambda one: (one.rank, -one.aggregate, one.method))),
        tuple(_apart(method, kept, datasets) for method in others) if kept else (),
        friedman(table) if len(datasets) > 1 else None,
        critical_difference(len(methods), len(datasets)) if len(datasets) > 1 and len(methods) > 1 else None,
        tuple(left_out),
    )


def rank_columns(scores: Floats) -> Floats:
    """Return mean ranks, float64 ``(methods,)``: per data set 1 for the highest score, equal scores share their mean.

    scores: float64 ``(methods, data sets)``. Scores that differ by rounding only (1e-9) are equal.
    """
    from scipy.stats import rankdata  # noqa: PLC0415 - scipy.stats costs half a second of every start

    if not scores.size:
        return np.zeros(len(scores))
    ranks: Floats = rankdata(-np.round(scores, 9), axis=0).mean(axis=1)
    return ranks


def harmonic_mean(scores: Sequence[float]) -> float:
    """Return n / sum(1 / score), 0 if any score is 0.

    It is at most n times the lowest score, whatever the others are, so no one data set can buy it.
    """
    if not scores or min(scores) <= 0:
        return 0.0
    return len(scores) / math.fsum(1 / score for score in scores)


def friedman(scores: Floats) -> tuple[float, float] | None:
    """Return Friedman's chi-squared with ties corrected, and its p; None for fewer than three methods or all equal.

    scores: float64 ``(methods, data sets)``. Source: Friedman, JASA 32(200), 1937.
    """
    from scipy.stats import friedmanchisquare  # noqa: PLC0415 - as above

    if len(scores) < 3 or scores.shape[1] < 2:
        return None
    even = np.round(scores, 9)
    if (even == even[:1]).all():
        return None
    found = friedmanchisquare(*even)
    return float(found.statistic), float(found.pvalue)


def critical_difference(methods: int, datasets: int) -> float:
    """Return the difference of two mean ranks from which the Nemenyi test tells two of so many methods apart at 5 %.

    q * sqrt(k (k + 1) / (6 n)), q the studentized range of k with infinite degrees of freedom over sqrt(2). Source:
    Nemenyi, Distribution-free multiple comparisons, 1963.
    """
    from scipy.stats import studentized_range  # noqa: PLC0415 - as above

    q = float(studentized_range.ppf(1 - ALPHA, methods, np.inf)) / math.sqrt(2)
    return q * math.sqrt(methods * (methods + 1) / (6 * datasets))


def cliques(ranks: Sequence[float], critical: float) -> list[tuple[int, int]]:
    """Return the longest runs of neighbours that cannot be told apart, as first and last position, two or more each.

    ranks: rising.
    """
    found: list[tuple[int, int]] = []
    for first, low in enumerate(ranks):
        last = max(at for at, rank in enumerate(ranks) if rank - low < critical)
        if last > first and not (found and found[-1][1] >= last):
            found.append((first, last))
    return found


def _without_parts(found: Sequence[Chosen]) -> list[Chosen]:
    """Return the tables, those of a part of the data marked as left out where there is one of the whole."""
    whole = {one.dataset for one in found if not one.part and not one.reason}
    why = "only a chosen part of the data, of which there is a table of the whole"
    return [replace(one, reason=why) if one.part and one.dataset in whole else one for one in found]


def _largest_block(found: Sequence[Chosen]) -> list[Chosen]:
    """Return the tables to count: adding them from the one with the most methods on, as long as the block grows.

    Its size is (methods - 1) times (data sets - 1), what the tests have to go by; of equal ones the one of more tables.
    """
    ordered = sorted(found, key=lambda one: (-len(one.scores), one.title))
    blocks = [ordered[:count] for count in range(1, len(ordered) + 1)]
    sizes = [(len(_common(block)) - 1) * (len({one.dataset for one in block}) - 1) for block in blocks]
    if not blocks:
        return []
    best = max(range(len(blocks)), key=lambda at: (sizes[at], len(_common(blocks[at])) > 0, at))
    return sorted(blocks[best], key=lambda one: one.title)


def _common(block: Sequence[Chosen]) -> list[str]:
    return sorted(set.intersection(*(set(one.scores) for one in block))) if block else []


def _by_dataset(method: str, kept: Sequence[Chosen], datasets: Sequence[str]) -> tuple[float, ...]:
    return tuple(float(np.mean([one.scores[method] for one in kept if one.dataset == dataset])) for dataset in datasets)


def _overall_rank(
    method: str, row: Floats, rank: float, kept: Sequence[Chosen], datasets: Sequence[str]
) -> OverallRank:
    scores = tuple(float(score) for score in row)
    at = int(np.argmin(row))
    notes = [f"{one.title}: {one.notes[method]}" for one in kept if one.notes.get(method)]
    return OverallRank(method, float(rank), harmonic_mean(scores), scores[at], datasets[at], scores, tuple(notes))


def _apart(method: str, kept: Sequence[Chosen], datasets: Sequence[str]) -> Apart:
    lacking = [one for one in kept if method not in one.scores]
    why = {one.title: f" ({one.elsewhere[method]})" if method in one.elsewhere else "" for one in lacking}
    missing = tuple(f"{title}{reason}" for title, reason in why.items())
    without = {one.dataset for one in lacking}
    scores = tuple(None if dataset in without else _by_dataset(method, kept, (dataset,))[0] for dataset in datasets)
    return Apart(method, scores, missing)
