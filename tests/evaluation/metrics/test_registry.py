"""Every number that is printed has a description."""

from __future__ import annotations

import numpy as np
import pytest

from bench.contract import UsageError
from bench.evaluation.evaluate import evaluate
from bench.evaluation.metrics.registry import METRICS, describe


def test_every_score_of_an_evaluation_is_described() -> None:
    vectors = np.random.default_rng(0).standard_normal((6, 3))
    scores = evaluate(vectors, [0, 1] * 3, vectors, [0, 1] * 3, ks=(1, 7), threads=1).scores
    for name in scores:
        assert describe(name).name == name
    general = {name for name in METRICS if name.endswith("@k")}
    assert {f"{name.partition('@')[0]}@k" for name in scores if name.endswith("@7")} == general


def test_a_cutoff_is_written_into_the_definition() -> None:
    metric = describe("map@10")
    assert metric.definition == "average precision of the first 10, divided by min(10, R)"
    assert (metric.better, metric.arrow) == ("higher", "↑")
    assert describe("mean_rank").arrow == "↓"
    assert describe("effective_rank").arrow == ""


@pytest.mark.parametrize("name", ["maps", "map@", "map@0", "map@x", "mrr@10", "map@k@3"])
def test_an_unknown_metric_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="unknown metric"):
        describe(name)
