"""Every number that is printed is declared once: what it is, its direction, and how it is shown."""

from __future__ import annotations

import numpy as np
import pytest
from plain_ranks import ranks_of

from bench.contract import UsageError
from bench.evaluation.evaluate import evaluate
from bench.evaluation.metrics.chance import chance_level, perfect_level
from bench.evaluation.metrics.metric import RANKING, ranking_metric
from bench.evaluation.metrics.ranking import Order
from bench.evaluation.metrics.registry import columns, declared, describe, extra, ranked_by
from bench.evaluation.ranking.arrays import Floats


def test_every_score_of_an_evaluation_is_declared_and_so_is_whether_queries_have_it() -> None:
    vectors = np.random.default_rng(0).standard_normal((6, 3))
    asked = [name for name, metric in declared().items() if metric.extra]
    found = evaluate(vectors, [0, 1] * 3, vectors, [0, 1] * 3, ks=(1, 7), metrics=asked, threads=1)
    for name in found.scores:
        assert describe(name).name == name
        assert describe(name).per_query == (name in found.per_query)
    general = {name for name in declared() if name.endswith("@k")}
    assert {f"{name.partition('@')[0]}@k" for name in found.scores if name.endswith("@7")} == general


def test_a_depth_is_written_into_the_definition() -> None:
    metric = describe("map@10")
    assert metric.definition == "average precision of the first 10, divided by min(10, R)"
    assert (metric.better, metric.arrow) == ("higher", "↑")
    assert describe("mean_rank").arrow == "↓"
    assert describe("effective_rank").arrow == ""


def test_an_alias_names_the_metric_and_a_measured_stage_is_known_by_its_parts() -> None:
    assert describe("ms").name == "embed_1_median_ms"
    assert describe("seconds").heading == "fit s"
    assert describe("end_to_end_64_p99_ms").better == "lower"
    assert describe("search_64_per_second").better == "higher"


@pytest.mark.parametrize("name", ["maps", "map@", "map@0", "map@x", "mrr@10", "map@k@3", "embed_0_median_ms"])
def test_an_unknown_metric_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="unknown metric"):
        describe(name)


@pytest.mark.parametrize(("word", "likely"), [("hits@3", "hit@3"), ("maps", "map"), ("mean_rnak", "mean_rank")])
def test_an_unknown_metric_is_refused_with_the_likeliest_name(word: str, likely: str) -> None:
    with pytest.raises(UsageError, match=f"^unknown metric '{word}'; did you mean '{likely}'\\?$"):
        describe(word)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("hit@k", "needs a depth, such as hit@1"),
        ("tied_queries", "is no contest"),
        ("fit_seconds", "no value for each query"),
        ("pair_auc", "no value for each query"),
    ],
)
def test_rows_are_ranked_only_by_what_has_a_better_side_and_a_value_a_query(name: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        ranked_by(name)


def test_columns_are_at_the_usual_depth_and_at_each_that_was_asked_for() -> None:
    usual = {"map", "map@1", "map@10", "map@50", "hit@1", "hit@10", "ndcg@10", "fit_seconds", "ssim", "someone"}
    assert [one.name for one in columns(usual)] == ["map", "map@10", "hit@1", "ssim", "fit_seconds"]
    asked = columns({*usual, "map@7", "hit@7", "ndcg@7"}, narrow=True)
    assert [one.name for one in asked] == ["map", "map@7", "map@10", "hit@1", "hit@7", "fit_seconds"]


def test_what_rows_are_ranked_by_is_always_a_column() -> None:
    assert [one.name for one in columns({"map"}, "ndcg@50")] == ["map", "ndcg@50"]
    assert [one.name for one in columns({"map", "mrr"}, "mrr", narrow=True)] == ["map", "mrr"]


@pytest.mark.parametrize("name", [name for name, metric in declared().items() if metric.formula])
def test_the_chance_level_is_the_mean_over_all_orders_of_a_small_gallery(name: str) -> None:
    from itertools import combinations

    metric = describe(name).at(2) if name.endswith("@k") else describe(name)
    for relevant, items in ((1, 5), (2, 6), (4, 4), (3, 7)):
        orders = [list(ranks) for ranks in combinations(range(1, items + 1), relevant)]
        every = metric.of(ranks_of(orders, [items] * len(orders)))
        sizes = np.array([relevant]), np.array([items])
        assert chance_level(metric, *sizes)[0] == pytest.approx(every.mean())
        assert perfect_level(metric, *sizes)[0] == pytest.approx((metric.sign * every).max() * metric.sign)


def test_a_newly_declared_metric_is_scored_and_settles_ties() -> None:
    try:

        @ranking_metric("misses@k", "lower", "share of the first k that is not relevant", depth=5)
        def misses_at(ranks: Order, k: int) -> Floats:
            return 1.0 - ranks.hits(k) / k

        vectors = np.ones((4, 2))
        labels, ids = [0, 0, 1, 1], list("abcd")
        how = {"query_ids": ids, "gallery_ids": ids, "ks": (1,), "threads": 1}
        scores = {
            ties: evaluate(vectors, labels, vectors, labels, ties=ties, **how).scores["misses@1"]  # type: ignore[arg-type]
            for ties in ("pessimistic", "mean", "optimistic")
        }
        assert describe("misses@1").arrow == "↓"
        assert scores == pytest.approx({"pessimistic": 1.0, "mean": 2 / 3, "optimistic": 0.0})
        with pytest.raises(UsageError, match="declared twice"):
            ranking_metric("misses@k", "lower", "again")(misses_at)
    finally:
        RANKING.pop("misses@k", None)


def test_metrics_that_are_asked_for_are_columns_where_there_are_any() -> None:
    usual = {"map", "map@10", "hit@1"}
    assert [one.name for one in columns(usual)] == ["map", "map@10", "hit@1"]
    asked = usual | {"map_trapezoid", "minp", "mp@1", "mp@10", "micro_ap"}
    assert {"map_trapezoid", "minp", "mp@10", "micro_ap"} == {one.name for one in columns(asked)} - usual
    assert extra(["mp@k", "minp", "mp@k"]) == ("mp@k", "minp")
