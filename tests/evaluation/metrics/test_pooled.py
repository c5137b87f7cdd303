"""Micro-AP and recall at precision 0.9 are those of one sorted list of all pairs, ties against the answers."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from without_intervals import evaluate_values

BOTH = ("micro_ap", "recall_at_p90")


def pooled(scores: np.ndarray, relevant: np.ndarray, seen: np.ndarray) -> tuple[float, float]:
    """Sort every pair that is seen, and walk down the list."""
    pairs = sorted((-score, hit) for score, hit in zip(scores[seen], relevant[seen].tolist(), strict=True))
    hits, total, best, area = 0, int(relevant[seen].sum()), 0.0, 0.0
    for rank, (_, hit) in enumerate(pairs, start=1):
        hits += hit
        if hit:
            area += hits / rank / total
            best = max(best, hits / total if hits / rank >= 0.9 else 0.0)
    return area, best


@pytest.mark.parametrize("listed", [False, True])
def test_they_are_those_of_one_sorted_list_of_all_pairs(listed: bool) -> None:
    for seed in range(60):
        rng = np.random.default_rng(seed)
        q, n = int(rng.integers(1, 20)), int(rng.integers(3, 80))
        labels, others = rng.integers(0, 5, q), rng.integers(0, 4, n)  # some queries have no answer
        labels[0], others[0] = 0, 0
        query, gallery = (rng.integers(-1, 3, (size, 3)) + np.array([0.5, 0, 0]) for size in (q, n))
        relevant, seen = labels[:, None] == others[None], rng.random((q, n)) > 0.1
        seen[0, 0] = True
        if listed:
            asked = {"query_labels": None, "gallery_labels": None, "positives": relevant & seen, "ignore": ~seen}
        else:
            asked = {"query_labels": labels, "gallery_labels": others, "ignore": ~seen}
        found = evaluate_values(query, gallery=gallery, **asked, normalize=False, metrics=BOTH, ks=(1,), threads=1)
        assert [found.scores[name] for name in BOTH] == pytest.approx(pooled(query @ gallery.T, relevant, seen))


def test_without_ties_micro_ap_is_scikit_learns() -> None:
    rng = np.random.default_rng(1)
    query, gallery, labels, others = *rng.standard_normal((2, 40, 6)), *rng.integers(0, 5, (2, 40))
    found = evaluate_values(query, labels, gallery, others, normalize=False, metrics=["micro_ap"], threads=1)
    expected = average_precision_score((labels[:, None] == others).ravel(), (query @ gallery.T).ravel())
    assert found.scores["micro_ap"] == pytest.approx(expected, abs=1e-6)
    assert "recall_at_p90" not in found.scores
