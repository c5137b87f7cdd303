"""How well proxies foretell which method is best, on finished runs: rank correlation and regret.

Regret is the map that is lost by using the method that a proxy puts first.

The opponent is a prior that looks at none of the pictures: the order of the same methods on the other data sets.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

import numpy as np
from scipy.stats import bootstrap, spearmanr

from bench.choose.proxies import PROXIES, Sample
from bench.contract import DataError
from bench.evaluation.ranking.arrays import Floats
from bench.report.tables.groups import Row, Table, read_answers
from bench.report.tables.wording import markdown_table
from bench.runs.artifacts import read_vectors

PRIOR = "prior: the order on other data"
CHANCE = "chance"
_FEWEST = 3  # rows of a table, below which there is no order to foretell


@dataclass(frozen=True)
class Foretold:
    """One proxy over some tables: each table's rank correlation with map, and its regret, float64 ``(tables,)``."""

    name: str
    correlation: Floats
    regret: Floats


def mean_over_tables(values: Floats) -> tuple[float, float, float]:
    """Return the mean over the tables of which something is said, and its 95 % bootstrap interval (BCa).

    NaN where it is said of none; ends of NaN where it is of fewer than three, or always the same.
    """
    known, nan = values[~np.isnan(values)], float("nan")
    if not len(known):
        return nan, nan, nan
    if len(known) < _FEWEST or np.ptp(known) == 0:
        return float(known.mean()), nan, nan
    ends = bootstrap((known,), np.mean, n_resamples=9_999, rng=np.random.default_rng(0)).confidence_interval
    return float(known.mean()), float(ends.low), float(ends.high)


def foretold(tables: Sequence[Table]) -> tuple[list[Foretold], list[str]]:
    """Return what each proxy foretells, the prior and chance among them, and the titles of the tables that count.

    A table counts where three rows or more were asked the same and kept their vectors.
    """
    values: dict[str, list[tuple[float, float]]] = defaultdict(list)
    measured = [(table, rows) for table in tables if len(rows := _samples(table)) >= _FEWEST]
    for table, rows in measured:
        truth = np.array([row.score for row in rows])
        others = [one for one, _ in measured if one.dataset != table.dataset]
        guesses = {name: _values(name, rows) for name in PROXIES}
        guesses[PRIOR] = np.array([_mean_place(row, others) for row in rows])
        for name, guess in guesses.items():
            values[name].append(_judged(guess, truth))
        values[CHANCE].append((0.0, float(truth.max() - truth.mean())))
    found = [Foretold(name, *np.array(pairs).T) for name, pairs in values.items()]
    return sorted(found, key=lambda one: np.nan_to_num(mean_over_tables(one.regret)[0], nan=np.inf)), [
        table.title for table, _ in measured
    ]


def foretold_table(found: Sequence[Foretold]) -> str:
    """Return what proxies foretell as a Markdown table: means over tables with their intervals."""
    rows = [
        [one.name, *(part for values in (one.correlation, one.regret) for part in _in_words(*mean_over_tables(values)))]
        for one in found
    ]
    return markdown_table(["proxy", "rank correlation", "95 %", "regret", "95 %"], rows, "lr")


def _samples(table: Table) -> Mapping[Row, Sample]:
    """Return each row's sample of its first run's gallery, without rows of another gallery or without vectors."""
    found: dict[Row, Sample] = {}
    first = None
    for row in table.rows:
        try:
            answers, vectors = read_answers(row.first), read_vectors(row.first)["gallery"]
        except DataError:
            continue
        first = first or answers
        if answers.same_questions(first) and len(vectors) == len(answers.gallery_labels):
            found[row] = Sample.of(vectors, answers.gallery_labels)
    return found


def _values(name: str, rows: Mapping[Row, Sample]) -> Floats:
    samples = list(rows.values())
    return np.array([PROXIES[name](one, [other for other in samples if other is not one]) for one in samples])


def _mean_place(row: Row, others: Sequence[Table]) -> float:
    """Return the mean place of a row's method and options in other tables, 0 last, 1 first; NaN where it is in none."""
    places = [
        1 - place / (len(table.rows) - 1)
        for table in others
        for place, other in enumerate(sorted(table.rows, key=lambda one: -one.merit))
        if _of(other) == _of(row)
    ]
    return float(np.mean(places)) if places else float("nan")


def _of(row: Row) -> tuple[str, Mapping[str, Any]]:
    return row.first.result.method, row.first.result.spec.options


def _judged(guess: Floats, truth: Floats) -> tuple[float, float]:
    """Return the rank correlation of a guess with the truth, and the regret of following it; NaN where it says nothing.

    Rows that it says nothing of are not chosen; of equal guesses each is as likely.
    """
    known = ~np.isnan(guess)
    if known.sum() < 2:
        return float("nan"), float("nan")
    chosen = truth[known][guess[known] == guess[known].max()].mean()
    varied = np.ptp(guess[known]) > 0 and np.ptp(truth[known]) > 0
    correlation = float(spearmanr(guess[known], truth[known]).statistic) if varied else float("nan")
    return correlation, float(truth.max() - chosen)


def _in_words(mean: float, low: float, high: float) -> list[str]:
    return ["-" if isnan(mean) else f"{mean:.3f}", "-" if isnan(low) else f"{low:.3f} to {high:.3f}"]
