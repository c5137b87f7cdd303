"""What needs no labels is the same where lists say what labels would; what needs them is left out or refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import kstest

from bench import DataError, evaluate
from bench.evaluation.metrics.chance import draw_sample, random_vectors, shuffled_labels
from bench.evaluation.metrics.verification import _different, _same
from bench.evaluation.ranking.retrieval_set import RetrievalSet
from bench.evaluation.sanity.checks import check_evaluation
from bench.evaluation.thresholds.meaning import fit_on_half
from bench.evaluation.thresholds.operating_points import fit_thresholds, measure_thresholds


def both(seed: int = 0, q: int = 60, n: int = 240, classes: int = 8) -> tuple[RetrievalSet, RetrievalSet]:
    """The same questions by label and by lists: queries are in the gallery, and some items are ignored."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    vectors = rng.standard_normal((classes, 6))[labels] + 1.2 * rng.standard_normal((n, 6))
    ignored = [rng.choice(np.setdiff1d(np.arange(n), row), 12, replace=False) for row in range(q)]
    positives = [np.setdiff1d(np.flatnonzero(labels == labels[row]), ignored[row]) for row in range(q)]
    asked: dict[str, Any] = {"query_ids": range(q), "gallery_ids": range(n), "ignore": ignored}
    by_label = RetrievalSet.of(vectors[:q], labels[:q], vectors, labels, **asked)
    return by_label, RetrievalSet.of(vectors[:q], None, vectors, None, positives=positives, **asked)


def test_thresholds_count_the_same_pairs() -> None:
    labelled, listed = both()
    fitted = fit_thresholds(labelled.gallery.take(slice(None)), labelled.gallery_labels)
    assert fitted is not None
    assert measure_thresholds(fitted, listed) == measure_thresholds(fitted, labelled)


def test_thresholds_cannot_be_fitted_on_a_gallery_without_labels() -> None:
    with pytest.raises(DataError, match="thresholds are fitted on labels, and here lists say who is relevant"):
        fit_on_half(both()[1])


def test_thresholds_fitted_on_a_half_leave_out_what_is_ignored() -> None:
    labelled, _ = both()
    _, rest = fit_on_half(labelled)
    every = slice(None)
    rows, items = (
        [int(np.flatnonzero((whole == one).all(axis=1))[0]) for one in some.take(every)]
        for some, whole in ((rest.query, labelled.query.take(every)), (rest.gallery, labelled.gallery.take(every)))
    )
    before = labelled.hidden.matrix(len(labelled.gallery)).toarray()
    assert np.array_equal(rest.hidden.matrix(len(items)).toarray(), before[np.ix_(rows, items)])
    assert 0 < len(rows) < len(before)


@pytest.mark.parametrize("which", [0, 1])
def test_every_pair_of_a_kind_is_drawn_alike_and_an_ignored_one_never(which: int) -> None:
    data = both(q=3, n=40, classes=2)[which]
    layout = data.layout
    hidden = layout.excluded.matrix(40).toarray()
    relevant = layout.relevant_columns(slice(0, 3)) & ~hidden
    for draw, wanted in ((_same, relevant), (_different, ~relevant & ~hidden)):
        for row in range(3):
            sizes = int(wanted[row].sum())
            columns = draw(layout, np.full(sizes, row), np.arange(sizes))
            assert columns.tolist() == np.flatnonzero(wanted[row]).tolist()


def test_the_controls_that_need_no_labels_hold_by_lists() -> None:
    labelled, listed = both()
    found = {}
    for data in (labelled, listed):
        vectors = data.query.take(slice(None)), data.gallery.take(slice(None))
        hidden = data.hidden.matrix(len(data.gallery))
        if data.labelled:
            made = evaluate(vectors[0], data.query_labels, vectors[1], data.gallery_labels, ignore=hidden, threads=1)
        else:
            assert data.positives is not None
            positives = data.positives.matrix(len(data.gallery))
            made = evaluate(vectors[0], None, vectors[1], None, positives=positives, ignore=hidden, threads=1)
        found[data.labelled] = {one.name: one for one in check_evaluation(made, data, threads=1)}
    absent = {"label_in_a_dimension", "too_perfect", "intra_class_cosine", "inter_class_cosine"}
    assert set(found[True]) - set(found[False]) == absent
    assert all(one.passed for one in found[False].values())
    assert found[False]["nothing_to_find"].value == found[True]["nothing_to_find"].value


@pytest.mark.parametrize("draw", [shuffled_labels, random_vectors])
def test_chance_is_met_by_lists_and_not_where_ties_count_for_a_collapsed_method(draw: Any) -> None:
    _, listed = both(n=900)
    shares = []
    for seed in range(12):
        found = draw(draw_sample(listed, seed=seed), ties="pessimistic", seed=seed)
        assert found.value <= found.limit
        shares.append((found.value - found.chance) / found.error)
    assert kstest(shares, "t", args=(15,)).pvalue > 1e-4
    collapsed = np.ones((60, 3)), np.ones((900, 3))
    assert listed.positives is not None
    data = RetrievalSet.of(collapsed[0], None, collapsed[1], None, positives=listed.positives.matrix(900))
    if draw is shuffled_labels:
        found = draw(draw_sample(data, seed=0), ties="optimistic", seed=0)
        assert found.value > found.limit
