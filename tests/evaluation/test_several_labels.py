"""Pictures with several labels: relevant is what shares one, in every form of saying it, as scikit-learn scores it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.metrics import average_precision_score
from without_intervals import evaluate_values

from bench import DataError


def of_matrices(seed: int) -> tuple[Any, Any, Any, Any]:
    rng = np.random.default_rng(seed)
    q, n = int(rng.integers(1, 8)), int(rng.integers(4, 50))
    labels, others = rng.random((q, 6)) < 0.3, rng.random((n, 6)) < 0.3
    labels[0, 0] = others[1, 0] = True
    return rng.standard_normal((q, 5)), labels, rng.standard_normal((n, 5)), others


@pytest.mark.parametrize("form", ["matrix", "sparse", "numbers", "text"])
def test_average_precision_is_scikit_learns_on_pictures_that_share_a_label(form: str) -> None:
    for seed in range(50):
        query, labels, gallery, others = of_matrices(seed)
        given: dict[str, Any] = {
            "matrix": lambda one: one,
            "sparse": lambda one: csr_array(one.astype(np.float32)),
            "numbers": lambda one: [np.flatnonzero(line).tolist() for line in one],
            "text": lambda one: [{f"label {at}" for at in np.flatnonzero(line)} for line in one],
        }
        say = given[form]
        found = evaluate_values(query, say(labels), gallery, say(others), normalize=False, ks=(1,), threads=1)
        shared = (labels[:, None] & others[None]).any(axis=2)
        for row, line in enumerate(shared):
            expected = average_precision_score(line, gallery @ query[row]) if line.any() else np.nan
            assert found.per_query["map"][row] == pytest.approx(expected, abs=1e-6, nan_ok=True)
        assert (found.per_query["relevant"] == shared.sum(axis=1)).all()
        assert found.macro == {}


@pytest.mark.parametrize(
    ("labels", "others", "said"),
    [
        ([[0], [1]], [0, 1, 0], "several a picture on one side only"),
        ([[0], [1]], np.eye(3, dtype=bool), "a matrix on one side and lists on the other"),
        ([[0]], [[0], [1], [1]], "2 query vectors, but query labels of 1 pictures"),
        (np.eye(2, dtype=bool), np.eye(3, dtype=bool), "query labels are 2 columns, gallery labels 3"),
        ([["a"], ["b"]], [[0], [1], [1]], "labels must be of one kind"),
    ],
)
def test_labels_that_do_not_fit_each_other_are_refused(labels: Any, others: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        evaluate_values(np.eye(3)[:2], labels, np.eye(3), others)
