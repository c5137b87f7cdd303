"""A retrieval set is checked when it is made, copies no vector, and gives its parts without a second look at them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.contract import DataError, UsageError
from bench.evaluation.evaluate import evaluate, evaluate_set
from bench.evaluation.ranking.lists import Lists
from bench.evaluation.ranking.relevance import Layout, build_layout
from bench.evaluation.ranking.retrieval_set import RetrievalSet


def example(**more: Any) -> RetrievalSet:
    rng = np.random.default_rng(0)
    query, gallery = rng.standard_normal((6, 4)) * 3, rng.standard_normal((20, 4)) * 3
    return RetrievalSet.of(query, np.arange(6) % 3, gallery, np.arange(20) % 3, **more)


def test_a_mapped_gallery_stays_on_the_disk(tmp_path: Path) -> None:
    np.save(tmp_path / "gallery.npy", np.eye(5, dtype=np.float32))
    mapped = np.load(tmp_path / "gallery.npy", mmap_mode="r")
    data = RetrievalSet.of(np.eye(5), range(5), mapped, range(5))
    assert data.gallery.source is mapped
    assert data.unit.gallery.source is mapped
    assert data.with_query(np.ones((5, 5))).gallery is data.gallery


def test_one_array_given_for_both_sides_is_checked_once_and_stays_one() -> None:
    vectors = np.random.default_rng(1).standard_normal((8, 3))
    data = RetrievalSet.of(vectors, [0, 1] * 4, vectors, [0, 1] * 4, query_ids=range(8), gallery_ids=range(8))
    assert data.query is data.gallery
    assert data.unit.query is data.unit.gallery


def test_unit_scales_every_row_whatever_the_set_does() -> None:
    unit = example(normalize=False, train=np.full((2, 4), 9.0)).unit
    assert unit.train is not None
    for rows in (unit.query, unit.gallery, unit.train):
        np.testing.assert_allclose(np.linalg.norm(rows.take(slice(None)), axis=1), 1, atol=1e-6)


def test_labels_and_ids_of_any_kind_become_numbers_that_agree_on_both_sides() -> None:
    data = RetrievalSet.of(
        np.eye(2), ["b", "a"], np.eye(3)[:, :2] + 1, ["a", "c", "b"], query_ids=["x", "y"], gallery_ids=["y", "z", "q"]
    )
    assert data.query_labels.tolist() == [1, 0]
    assert data.gallery_labels.tolist() == [0, 2, 1]
    assert data.layout.items.tolist() == [3, 2]
    assert data.layout.relevant.tolist() == [1, 0]  # the only item of class a is the second query itself


def test_without_ids_every_row_is_an_image_of_its_own() -> None:
    query, gallery = example().images
    assert len(set(query.tolist()) | set(gallery.tolist())) == 26


def test_other_query_vectors_score_as_a_set_made_of_them() -> None:
    data = example(query_ids=range(6), gallery_ids=range(20))
    other = np.random.default_rng(2).standard_normal((6, 4))
    asked = data.with_query(other)
    assert asked.layout is data.layout
    whole = evaluate(
        other, np.arange(6) % 3, data.gallery.source, np.arange(20) % 3, query_ids=range(6), gallery_ids=range(20)
    )
    assert evaluate_set(asked).scores == pytest.approx(whole.scores, rel=0, abs=0, nan_ok=True)


def test_without_replicates_all_is_the_same_but_for_the_intervals() -> None:
    whole, alone = evaluate_set(example()), evaluate_set(example(), replicates=False)
    assert whole.ci95
    assert alone.ci95 == alone.ci95_other_classes == alone.replicates.these_classes == {}
    assert alone.scores == pytest.approx(whole.scores, rel=0, abs=0, nan_ok=True)
    for name, values in whole.per_query.items():
        np.testing.assert_array_equal(alone.per_query[name], values)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 12), st.integers(1, 30))
def test_the_layout_of_some_queries_is_that_of_a_set_with_only_them(seed: int, q: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    labels, others = rng.integers(0, 4, q), rng.integers(0, 4, n)
    ids, other_ids = rng.integers(0, n, q), rng.integers(0, n, n)
    some = np.flatnonzero(rng.random(q) < 0.6)
    lists = [Lists.of_cells(rng.random((q, n)) < share) for share in (0.3, 0.2)]

    def parts(layout: Layout) -> list[Any]:
        listed = [] if layout.positives is None else [layout.positives.columns, layout.positives.offsets]
        hidden = [layout.excluded.columns, layout.excluded.offsets]
        return [layout.order, layout.start, layout.stop, *hidden, *listed, layout.relevant, layout.items]

    for positives in (None, lists[0]):
        named = (labels, others) if positives is None else (labels * 0, others * 0)
        whole = build_layout(*named, ids, other_ids, positives=positives, ignored=lists[1])
        few = None if positives is None else positives.subset(some)
        wanted = build_layout(
            named[0][some], named[1], ids[some], other_ids, positives=few, ignored=lists[1].subset(some)
        )
        for one, other in zip(parts(whole.subset(some)), parts(wanted), strict=True):
            assert np.array_equal(one, other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": np.ones((2, 3))}, "train vectors have 3 dimensions, query vectors 2"),
        ({"train": np.zeros((2, 2))}, "train vectors: 2 of 2 rows are all zero"),
        ({"gallery": np.ones((3, 4))}, "query vectors have 2 dimensions, gallery vectors 4"),
        ({"query": np.full((3, 2), np.nan)}, "query vectors: 3 of 3 rows are not finite, the first is row 0"),
        (
            {"gallery_labels": [7, 8, 9]},
            "none of the 3 queries has a relevant item in the gallery",
        ),
        ({"query": np.full((3, 2), 1e30), "gallery": np.full((3, 2), 1e30), "normalize": False}, "use normalize=True"),
    ],
)
def test_what_cannot_be_ranked_is_refused_when_the_set_is_made(change: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"query": np.ones((3, 2)), "gallery": np.ones((3, 2))}
    arguments |= {"query_labels": [0, 1, 2], "gallery_labels": [0, 1, 2]}
    with pytest.raises(DataError) as caught:
        RetrievalSet.of(**(arguments | change))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_ids_on_one_side_only_and_other_queries_of_another_shape_are_refused() -> None:
    with pytest.raises(UsageError, match="query_ids given without gallery_ids"):
        example(query_ids=range(6))
    with pytest.raises(DataError, match="query vectors have 3 dimensions, gallery vectors 4"):
        example().with_query(np.ones((6, 3)))
    with pytest.raises(DataError, match="5 query and 20 gallery vectors do not fit a layout of 6 queries and 20 items"):
        example().with_query(np.ones((5, 4)))
