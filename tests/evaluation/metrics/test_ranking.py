"""Ranks to numbers, on cases that can be checked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plain_ranks import ranks_of

from bench.contract import DataError
from bench.evaluation.metrics import ranking
from bench.evaluation.metrics.ranking import knn_accuracy_at, score_ranks
from bench.evaluation.ranking.ranks import Ranks


def scores_of(ranks: list[int], n: int, *ks: int) -> dict[str, float]:
    return {name: float(values[0]) for name, values in score_ranks(ranks_of([ranks], [n]), ks).items()}


def test_the_worked_case_of_the_metrics_document() -> None:
    scores = scores_of([1, 3, 6], 6, 1, 3, 10)
    expected = {
        "map@1": 1.0,
        "map@3": 0.5556,
        "map@10": 0.7222,
        "map": 0.7222,
        "map@r": 0.5556,
        "r_precision": 2 / 3,
        "precision@3": 2 / 3,
        "precision@10": 0.3,
        "recall@3": 2 / 3,
        "mrr": 1.0,
        "mean_rank": 3.3333,
        "mean_rank_norm": 0.4444,
        "ndcg@3": 0.7039,
        "hit@1": 1.0,
        "first_rank": 1.0,
    }
    assert {name: scores[name] for name in expected} == pytest.approx(expected, abs=5e-5)


def test_a_perfect_ranking_has_the_best_value_of_every_metric() -> None:
    scores = scores_of([1, 2, 3], 10, 1, 3)
    assert scores.pop("mean_rank_norm") == 0.0
    assert scores.pop("mean_rank") == 2.0
    assert scores.pop("recall@1") == pytest.approx(1 / 3)
    assert set(scores.values()) == {1.0}


def test_the_worst_ranking_has_normalised_mean_rank_one() -> None:
    assert scores_of([8, 9, 10], 10)["mean_rank_norm"] == 1.0


def test_normalised_mean_rank_is_zero_where_everything_is_relevant() -> None:
    assert scores_of([1, 2, 3], 3)["mean_rank_norm"] == 0.0


def test_a_cutoff_beyond_the_ranking_pads_nothing_with_hits() -> None:
    scores = scores_of([1, 2], 2, 100)
    assert scores["map@100"] == 1.0
    assert scores["precision@100"] == 0.02
    assert scores["recall@100"] == scores["hit@100"] == scores["ndcg@100"] == 1.0


def test_a_query_without_relevant_items_is_nan_in_every_metric() -> None:
    lists, items = [[], [2], [], [1, 4], []], [5, 5, 5, 5, 5]
    together = score_ranks(ranks_of(lists, items), (1, 3))
    for name, values in together.items():
        assert np.isnan(values[[0, 2, 4]]).all(), name
        assert values[1] == scores_of([2], 5, 1, 3)[name]
        assert values[3] == scores_of([1, 4], 5, 1, 3)[name]


def test_no_queries_give_empty_arrays() -> None:
    assert all(values.shape == (0,) for values in score_ranks(ranks_of([], []), (1,)).values())


def test_values_of_a_query_are_the_same_bits_alone_and_among_others() -> None:
    rng = np.random.default_rng(0)
    lists = [sorted((rng.choice(900, size=int(rng.integers(1, 300)), replace=False) + 1).tolist()) for _ in range(20)]
    together = score_ranks(ranks_of(lists, [900] * 20), (1, 10, 50))
    for i, ranks in enumerate(lists):
        assert {name: float(values[i]) for name, values in together.items()} == scores_of(ranks, 900, 1, 10, 50)


def test_ranks_that_do_not_fit_their_offsets_are_refused() -> None:
    with pytest.raises(DataError, match="do not fit"):
        Ranks(np.array([1, 2]), np.array([0, 3]), np.array([5]))


def vote(labels: list[int], similarities: list[float], k: int, label: int = 1) -> float:
    found = knn_accuracy_at(
        np.array([labels]), np.array([similarities], dtype=np.float32), np.array([label]), np.array([1]), k
    )
    return float(found[0])


def test_the_majority_of_the_neighbours_decides() -> None:
    assert vote([2, 1, 1], [0.9, 0.5, 0.4], 3) == 1.0
    assert vote([1, 2, 2], [0.9, 0.5, 0.4], 3) == 0.0
    assert vote([1, 2, 2], [0.9, 0.5, 0.4], 1) == 1.0


def test_a_tie_in_votes_goes_to_the_larger_sum_of_similarities() -> None:
    assert vote([1, 2, 2, 1], [0.9, 0.8, 0.7, 0.65], 4) == 1.0
    assert vote([2, 1, 1, 2], [0.9, 0.8, 0.7, 0.65], 4) == 0.0


def test_a_tie_in_votes_and_similarities_counts_against_the_query() -> None:
    assert vote([1, 2], [0.5, 0.5], 2) == 0.0
    assert vote([1, 2], [-0.5, -0.25], 2) == 0.0
    assert vote([1, 2], [-0.25, -0.5], 2) == 1.0


def test_padding_after_the_last_neighbour_does_not_vote() -> None:
    assert vote([1, -1, -1, -1], [0.5, np.nan, np.nan, np.nan], 4) == 1.0
    assert vote([-1, -1], [np.nan, np.nan], 2) == 0.0


def counted_vote(labels: list[int], similarities: list[float], k: int, label: int) -> float:
    """The vote by its words: counts first, then sums of similarities; a tie in both is lost."""
    votes = {
        other: (
            labels[:k].count(other),
            sum(s for one, s in zip(labels[:k], similarities, strict=False) if one == other),
        )
        for other in set(labels[:k]) - {-1}
    }
    own = votes.pop(label, None)
    return float(own is not None and all(own > other for other in votes.values()))


@given(st.integers(1, 12), st.integers(1, 5), st.integers(0, 10**6))
def test_votes_of_many_queries_are_those_that_plain_counting_gives(k: int, classes: int, seed: int) -> None:
    """Similarities are eighths, so that sums are exact and often equal; some rankings end early."""
    rng = np.random.default_rng(seed)
    top = rng.integers(0, classes, (25, 10))
    top[np.arange(10) >= rng.integers(0, 16, 25)[:, None]] = -1
    similarities = -np.sort(-rng.integers(-2, 4, (25, 10)) / 8, axis=1).astype(np.float32)
    labels = rng.integers(0, classes, 25)
    found = knn_accuracy_at(top, np.where(top < 0, np.nan, similarities), labels, np.ones(25, np.int64), k)
    rows = zip(top.tolist(), similarities.tolist(), labels.tolist(), strict=True)
    assert found.tolist() == [counted_vote(row, scores, k, label) for row, scores, label in rows]


def test_a_query_without_relevant_items_has_no_vote() -> None:
    values = knn_accuracy_at(
        np.array([[0], [1]]), np.array([[0.5], [0.5]], dtype=np.float32), np.array([0, 0]), np.array([1, 0]), 1
    )
    assert values.tolist()[0] == 1.0
    assert np.isnan(values[1])


def test_the_ideal_gain_of_a_query_stops_at_its_relevant_items() -> None:
    assert ranking.ideal_dcg(ranks_of([[5], []], [9, 9]), 10).tolist() == [1.0, 0.0]
