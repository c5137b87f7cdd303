"""One ranking, as others would print it."""

from __future__ import annotations

import numpy as np
import pytest
from plain_ranks import ranks_of

from bench.contract import UsageError
from bench.evaluation.metrics.conventions import translate
from bench.evaluation.metrics.ranking import score_ranks
from bench.evaluation.ranking.ranks import Ranks


def per_query(ranks: Ranks) -> dict[str, np.ndarray]:
    return score_ranks(ranks, (1, 10)) | {"relevant": ranks.relevant, "items": ranks.items}


def test_fashion_mnist_with_only_rank_one_right_reads_as_the_document_says() -> None:
    ranks = Ranks(np.concatenate(([1], np.arange(11, 6_010))), np.array([0, 6_000]), np.array([60_000]))
    ours = per_query(ranks)
    assert translate(ours, "simbench")["map@10"][0] == pytest.approx(0.1)
    assert translate(ours, "oml")["map@10"][0] == pytest.approx(1.0)
    assert translate(ours, "torchmetrics")["map@10"][0] == pytest.approx(1.0)
    assert translate(ours, "trec")["map@10"][0] == pytest.approx(0.00017, abs=5e-6)


def test_the_full_map_and_all_else_stay_as_they_are() -> None:
    ours = per_query(ranks_of([[1, 3, 6], [2]], [6, 6]))
    for dialect in ("trec", "oml"):
        theirs = translate(ours, dialect)
        assert set(theirs) == set(ours)
        assert all(theirs[name] is ours[name] for name in ours if name not in ("map@1", "map@10"))


def test_no_hit_in_the_first_k_is_zero_and_nothing_to_find_stays_nan() -> None:
    for dialect in ("trec", "oml"):
        values = translate(per_query(ranks_of([[5], []], [9, 9])), dialect)["map@1"]
        assert values[0] == 0.0
        assert np.isnan(values[1])


def test_hits_found_are_the_divisor_where_some_are_missed() -> None:
    values = translate(per_query(ranks_of([[1, 4, 20]], [30])), "oml")["map@10"]
    assert values[0] == pytest.approx((1 + 2 / 4) / 2)


def test_an_unknown_dialect_is_named() -> None:
    with pytest.raises(UsageError, match="unknown dialect 'beir'"):
        translate({}, "beir")
