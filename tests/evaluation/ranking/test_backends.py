"""Whole rows, windows of a gallery that is not held, and torch's sort: three ways to one ranking."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import evaluate
from bench.evaluation.ranking.arrays import Ints, Vectors
from bench.evaluation.ranking.backend import RankedBlock
from bench.evaluation.ranking.engine import rank_gallery
from bench.evaluation.ranking.relevance import Layout, build_layout
from bench.evaluation.ranking.streaming import Windows
from bench.evaluation.ranking.vectors import Rows, check_vectors


def whole(rng: np.random.Generator, n: int) -> Rows:
    """Vectors of small whole numbers: exact products, many ties, many equal rows, none all zero."""
    vectors = rng.integers(-1, 2, size=(n, 3)).astype(np.float32)
    vectors[:, 0] = np.where(vectors.any(axis=1), vectors[:, 0], 1)
    return check_vectors(vectors, "test", normalize=False)


def ranking(
    queries: Rows, gallery: Rows, layout: Layout, *, keep: int, full: bool, device: str = "cpu", threads: int = 1
) -> dict[str, list[float]]:
    def plain(block: RankedBlock) -> dict[str, Ints | Vectors]:
        worst = block.pessimistic.on_host()
        return {
            "worst": worst.values,
            "best": block.optimistic.on_host().values,
            "sizes": np.diff(worst.offsets),
            "neighbors": block.neighbors.ravel(),
            "labels": block.neighbor_labels.ravel(),
            "similarities": np.nan_to_num(block.similarities.ravel(), nan=-999),
        }

    parts = rank_gallery(
        queries, gallery, layout, plain, keep=keep, full=full, device=device, threads=threads, block_rows=9
    )
    return {name: np.concatenate([part[name] for part in parts]).tolist() for name in parts[0]}


@contextmanager
def in_windows(columns: int) -> Iterator[list[int]]:
    """Hold no gallery, read it in narrow windows, and count how many blocks are ranked so."""
    used: list[int] = []
    ranked = Windows.ranked

    def counted(self: Windows, rows: slice) -> Iterator[RankedBlock]:
        used.append(rows.start)
        return ranked(self, rows)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.evaluation.ranking.backend._HELD_BYTES", 0)
        patch.setattr("bench.evaluation.ranking.engine.fitting_rows", lambda _: 0)
        patch.setattr("bench.evaluation.ranking.streaming._LEAST_WINDOW", columns)
        patch.setattr("bench.evaluation.ranking.streaming._WINDOW_RELEVANT", 0)
        patch.setattr(Windows, "ranked", counted)
        yield used


@given(st.integers(0, 2**32), st.tuples(st.integers(1, 40), st.integers(1, 300), st.integers(1, 6)), st.booleans())
@settings(max_examples=60, deadline=None)
def test_three_ways_give_one_ranking(seed: int, sizes: tuple[int, int, int], full: bool) -> None:
    rng = np.random.default_rng(seed)
    q, n, classes = sizes
    ids = seed % 2 == 0
    queries, gallery = whole(rng, q), whole(rng, n)
    labels, gallery_labels = rng.integers(0, classes + 1, q), rng.integers(0, classes, n)
    own = (rng.integers(0, n, q), rng.integers(0, n, n)) if ids else (None, None)
    layout = build_layout(labels, gallery_labels, *own)
    keep = int(rng.integers(1, n + 1))
    expected = ranking(queries, gallery, layout, keep=keep, full=full)
    assert ranking(queries, gallery, layout, keep=keep, full=full, device="cpu:0") == expected
    with in_windows(64) as used:
        assert ranking(queries, gallery, layout, keep=keep, full=full, threads=2) == expected
    assert used


@pytest.mark.parametrize("way", ["windows", "device"])
def test_a_collapsed_gallery_stays_at_chance_whichever_way(way: str) -> None:
    """Equal vectors in different windows, and in different places of a product, must score the same to the last bit."""
    rng = np.random.default_rng(0)
    vector = rng.standard_normal(173).astype(np.float32)
    query, gallery, labels = np.tile(vector, (20, 1)), np.tile(vector, (700, 1)), np.sort(np.arange(700) % 10)
    if way == "device":
        scores = evaluate(query, labels[:20], gallery, labels, device="cpu:0").scores
    else:
        with in_windows(64) as used:
            scores = evaluate(query, labels[:20], gallery, labels).scores
        assert used
    assert scores["map"] < 0.1
    assert scores["tied_queries"] == 1.0


def test_a_streamed_evaluation_of_unit_vectors_has_the_scores_of_a_held_one() -> None:
    rng = np.random.default_rng(1)
    centres = rng.standard_normal((30, 40)).astype(np.float32)
    labels = np.arange(900) % 30
    gallery = centres[labels] + rng.standard_normal((900, 40)).astype(np.float32)
    ids = np.arange(900)
    held = evaluate(gallery[:100], labels[:100], gallery, labels, query_ids=ids[:100], gallery_ids=ids)
    device = evaluate(
        gallery[:100], labels[:100], gallery, labels, query_ids=ids[:100], gallery_ids=ids, device="cpu:0"
    )
    with in_windows(64) as used:
        streamed = evaluate(gallery[:100], labels[:100], gallery, labels, query_ids=ids[:100], gallery_ids=ids)
    assert used
    for name, value in held.scores.items():
        assert streamed.scores[name] == pytest.approx(value, abs=1e-6)
        assert device.scores[name] == pytest.approx(value, abs=1e-6)
