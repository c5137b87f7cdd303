"""Expected values over tied orders, against every order there is."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_ranks import ranks_of

from bench.contract import UsageError
from bench.evaluation.metrics.metric import RANKING
from bench.evaluation.metrics.ranking import score_ranks
from bench.evaluation.metrics.ties import score_with_ties, tied_queries
from bench.evaluation.ranking.ranks import Ranks

KS = (1, 2, 4, 20)
EXTRA = [name for name, metric in RANKING.items() if metric.extra]


def ranks_of_flags(flags: list[bool]) -> list[int]:
    return [rank for rank, flag in enumerate(flags, start=1) if flag]


def both(runs: list[list[bool]]) -> tuple[Ranks, Ranks]:
    """Pessimistic and optimistic ranks of one ranking, given as runs of equal scores."""
    n = sum(map(len, runs))
    worst = [flag for run in runs for flag in sorted(run)]
    best = [flag for run in runs for flag in sorted(run, reverse=True)]
    return ranks_of([ranks_of_flags(worst)], [n]), ranks_of([ranks_of_flags(best)], [n])


def means_over_all_permutations(runs: list[list[bool]]) -> dict[str, float]:
    orders = itertools.product(*(list(itertools.permutations(run)) for run in runs))
    lists = [ranks_of_flags([flag for run in order for flag in run]) for order in orders]
    scores = score_ranks(ranks_of(lists, [sum(map(len, runs))] * len(lists)), KS, EXTRA)
    return {name: float(values.mean()) for name, values in scores.items()}


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=4), min_size=1, max_size=3))
def test_the_expected_value_is_the_mean_over_all_permutations(runs: list[list[bool]]) -> None:
    if not any(map(any, runs)):
        return
    found = {name: float(values[0]) for name, values in score_with_ties(*both(runs), KS, "mean", EXTRA).items()}
    assert found == pytest.approx(means_over_all_permutations(runs), abs=1e-12)


def test_a_run_of_seven_by_all_5040_permutations() -> None:
    runs = [[True], [True, False, True, False, False, True, False], [False, True]]
    found = {name: float(values[0]) for name, values in score_with_ties(*both(runs), KS, "mean", EXTRA).items()}
    assert found == pytest.approx(means_over_all_permutations(runs), abs=1e-12)


def test_without_ties_the_three_ways_agree() -> None:
    ranks = ranks_of([[1, 3, 6], [], [2, 7, 8]], [9, 9, 9])
    for name, values in score_ranks(ranks, KS, EXTRA).items():
        np.testing.assert_allclose(score_with_ties(ranks, ranks, KS, "mean", EXTRA)[name], values, atol=1e-14)


def test_the_expected_value_lies_between_pessimistic_and_optimistic() -> None:
    worst, best = both([[True, False], [False] * 3 + [True] * 2, [True, False]])
    low, high, mean = score_ranks(worst, KS), score_ranks(best, KS), score_with_ties(worst, best, KS, "mean")
    for name in low:
        bounds = sorted((low[name][0], high[name][0]))
        assert bounds[0] - 1e-12 <= mean[name][0] <= bounds[1] + 1e-12, name


def test_a_large_collapsed_ranking_has_the_chance_values() -> None:
    """6,000 of 60,000 relevant and all scores equal: precision is R / N, mean rank (N + 1) / 2, and so on."""
    r, n = 6_000, 60_000
    offsets = np.array([0, r])
    worst = Ranks(np.arange(n - r + 1, n + 1), offsets, np.array([n]))
    best = Ranks(np.arange(1, r + 1), offsets, np.array([n]))
    found = {name: float(values[0]) for name, values in score_with_ties(worst, best, (1, 10), "mean").items()}
    assert found["precision@10"] == pytest.approx(0.1, abs=1e-12)
    assert found["hit@1"] == pytest.approx(0.1, abs=1e-12)
    assert found["ndcg@10"] == pytest.approx(0.1, abs=1e-12)
    assert found["first_rank"] == pytest.approx((n + 1) / (r + 1))
    assert found["mean_rank"] == pytest.approx((n + 1) / 2)
    assert found["mean_rank_norm"] == pytest.approx(0.5)
    p = np.arange(1, n + 1)
    by_hand = r / n * ((1 + (p - 1) * (r - 1) / (n - 1)) / p).sum() / r
    assert found["map"] == pytest.approx(by_hand, rel=1e-12)
    misses = np.prod([(n - r - i) / (n - i) for i in range(10)])
    assert found["hit@10"] == pytest.approx(1 - misses, rel=1e-12)


def test_a_deep_tie_keeps_twelve_digits() -> None:
    """The closed form subtracts near-equal numbers; far down a long ranking that must not show."""
    t, n = 1_000_000, 1_000_002
    worst, best = ranks_of([[n]], [n]), ranks_of([[t + 1]], [n])
    assert score_with_ties(worst, best, (), "mean")["map"][0] == pytest.approx((1 / (t + 1) + 1 / n) / 2, rel=1e-12)
    worst, best = ranks_of([[t + 2, t + 3]], [t + 3]), ranks_of([[t + 1, t + 2]], [t + 3])
    orders = [[t + 1, t + 2], [t + 1, t + 3], [t + 2, t + 3]]
    by_hand = np.mean([score_ranks(ranks_of([one], [t + 3]), ())["map"][0] for one in orders])
    assert score_with_ties(worst, best, (), "mean")["map"][0] == pytest.approx(by_hand, rel=1e-9)


def test_tied_queries_are_those_where_the_ranks_differ() -> None:
    worst, best = ranks_of([[1], [2], [], [1, 5]], [5] * 4), ranks_of([[1], [1], [], [1, 4]], [5] * 4)
    assert tied_queries(worst, best).tolist()[:2] == [0.0, 1.0]
    assert np.isnan(tied_queries(worst, best)[2])
    assert tied_queries(worst, best)[3] == 1.0


def test_an_unknown_way_of_settling_ties_is_named() -> None:
    ranks = ranks_of([[1]], [1])
    with pytest.raises(UsageError, match=r"'random' \(known: pessimistic, mean, optimistic\)"):
        score_with_ties(ranks, ranks, (1,), "random")
