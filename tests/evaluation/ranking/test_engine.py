"""The ranking engine: exact ranks whatever the blocks, the threads, and the order of the gallery."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from bench.evaluation.ranking import kernel
from bench.evaluation.ranking.arrays import Ints, Scores, Vectors
from bench.evaluation.ranking.backend import Problem, RankedBlock
from bench.evaluation.ranking.engine import rank_gallery, rank_without
from bench.evaluation.ranking.lists import Lists
from bench.evaluation.ranking.relevance import Layout, build_layout
from bench.evaluation.ranking.vectors import Rows, check_vectors


def whole(rng: np.random.Generator, n: int, d: int) -> Vectors:
    """Vectors of small whole numbers: exact products, many ties, no row all zero."""
    vectors = rng.integers(-2, 3, size=(n, d)).astype(np.float32)
    vectors[:, 0] = np.where(vectors.any(axis=1), vectors[:, 0], 1)
    return vectors


def raw(vectors: Vectors) -> Rows:
    return check_vectors(vectors, "test", normalize=False)


def everything(
    query: Vectors, gallery: Vectors, layout: Layout, *, block_rows: int | None = None, threads: int = 1, keep: int = 10
) -> list[list[float]]:
    """All that a ranking gives, as plain lists one query after another."""

    def plain(block: RankedBlock) -> list[list[float]]:
        worst, best = block.pessimistic.on_host(), block.optimistic.on_host()
        offsets = worst.offsets
        return [
            [
                *worst.values[offsets[i] : offsets[i + 1]].tolist(),
                *best.values[offsets[i] : offsets[i + 1]].tolist(),
                *block.neighbors[i].tolist(),
                *block.neighbor_labels[i].tolist(),
                *np.nan_to_num(block.similarities[i], nan=-999).tolist(),
            ]
            for i in range(len(block.pessimistic))
        ]

    keep = min(keep, len(gallery))
    blocks = rank_gallery(raw(query), raw(gallery), layout, plain, keep=keep, threads=threads, block_rows=block_rows)
    return [one for block in blocks for one in block]


def problem(seed: int, q: int = 23, n: int = 90, classes: int = 4) -> tuple[Vectors, Vectors, Ints, Ints, Layout]:
    rng = np.random.default_rng(seed)
    query, gallery = whole(rng, q, 4), whole(rng, n, 4)
    labels, gallery_labels = rng.integers(0, classes + 1, q), rng.integers(0, classes, n)
    ids = rng.permutation(n)
    return query, gallery, labels, ids, build_layout(labels, gallery_labels, ids[:q], ids)


def test_every_block_size_gives_the_same_ranking() -> None:
    query, gallery, _, _, layout = problem(0)
    reference = everything(query, gallery, layout)
    for block_rows in range(1, len(query) + 2):
        assert everything(query, gallery, layout, block_rows=block_rows) == reference


def test_one_thread_and_several_give_the_same_ranking() -> None:
    query, gallery, _, _, layout = problem(1)
    reference = everything(query, gallery, layout, block_rows=3, threads=1)
    assert everything(query, gallery, layout, block_rows=3, threads=2) == reference
    assert everything(query, gallery, layout, block_rows=2, threads=3) == reference


def test_blocks_and_threads_agree_on_unit_vectors_too() -> None:
    """Ranks and neighbours exactly; similarities to rounding, for some kernels add differently from row to row."""
    rng = np.random.default_rng(2)
    query = rng.standard_normal((70, 33)).astype(np.float32)
    gallery = rng.standard_normal((300, 33)).astype(np.float32)
    layout = build_layout(rng.integers(0, 5, 70), rng.integers(0, 5, 300))
    reference = everything(query, gallery, layout)
    for block_rows, threads in ((1, 1), (7, 2), (16, 1), (64, 2)):
        again = everything(query, gallery, layout, block_rows=block_rows, threads=threads)
        for row, expected in zip(again, reference, strict=True):
            assert row == pytest.approx(expected, abs=1e-5, rel=0)  # whole numbers this near are equal


def test_holding_fewer_ranks_at_once_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    query, gallery, _, _, layout = problem(3)
    reference = everything(query, gallery, layout)
    monkeypatch.setattr("bench.evaluation.ranking.whole_rows._PART_RANKS", 30)
    assert everything(query, gallery, layout) == reference


@pytest.mark.parametrize("count_block", [kernel.count_block_numpy, kernel.count_block], ids=["numpy", kernel.NAME])
@pytest.mark.parametrize("relevant", [0, 1, 5, 24, 25, 32, 33, 100])
def test_counting_agrees_with_a_plain_count(relevant: int, count_block: Callable[..., tuple[Ints, Ints]]) -> None:
    rng = np.random.default_rng(relevant)
    scores = rng.integers(-5, 6, size=(6, 120)).astype(np.float32)
    start = rng.integers(0, 121 - relevant, 6)
    stop = start + relevant
    if relevant:
        scores[2, start[2]] = -np.inf  # an excluded relevant item
    scores[3, 119 if stop[3] < 120 else 0] = -np.inf  # an excluded other one
    sizes = [int((scores[i, start[i] : stop[i]] > -np.inf).sum()) for i in range(6)]
    offsets = np.concatenate(([0], np.cumsum(sizes)))
    pessimistic, optimistic = count_block(scores, start, stop, offsets)
    for i in range(6):
        own = sorted((x for x in scores[i, start[i] : stop[i]].tolist() if x > -np.inf), reverse=True)
        others = [x for j, x in enumerate(scores[i].tolist()) if not start[i] <= j < stop[i]]
        worst = [place + sum(x >= one for x in others) for place, one in enumerate(own, start=1)]
        best = [place + sum(x > one for x in others) for place, one in enumerate(own, start=1)]
        assert pessimistic[offsets[i] : offsets[i + 1]].tolist() == worst
        assert optimistic[offsets[i] : offsets[i + 1]].tolist() == best


@pytest.mark.parametrize(
    "nearest_columns", [kernel.nearest_columns_numpy, kernel.nearest_columns], ids=["numpy", kernel.NAME]
)
@pytest.mark.parametrize("n", [1, 7, 512, 513, 1_024, 5_000])
def test_the_best_columns_are_those_of_a_full_sort(n: int, nearest_columns: Callable[..., tuple[Ints, Scores]]) -> None:
    rng = np.random.default_rng(n)
    for values in (rng.standard_normal((5, n)), rng.integers(0, 3, (5, n)), np.zeros((5, n))):
        scores = values.astype(np.float32)
        scores[1, : n // 2] = -np.inf
        start = rng.integers(0, n, 5)
        stop = np.minimum(n, start + n // 3)
        for k in {1, min(n, 50), n}:
            columns, best = nearest_columns(scores, start, stop, k)
            for i in range(5):
                order = sorted((-float(scores[i, j]), bool(start[i] <= j < stop[i]), j) for j in range(n))
                wanted = [j for score, _, j in order if score < np.inf][:k]
                assert columns[i].tolist() == wanted + [-1] * (k - len(wanted))
                assert best[i, : len(wanted)].tolist() == scores[i, wanted].tolist()
                assert np.isnan(best[i, len(wanted) :]).all()


@pytest.mark.parametrize(("d", "n"), [(3, 5), (17, 101), (128, 1_000), (509, 77)])
def test_equal_items_get_bitwise_equal_scores_anywhere(d: int, n: int) -> None:
    """Otherwise rounding, not the tie rule, would rank a collapsed model."""
    vector = np.random.default_rng(d).standard_normal(d).astype(np.float32)
    query, gallery = np.tile(vector, (19, 1)), np.tile(vector, (n, 1))
    layout = build_layout(np.zeros(19, dtype=np.int64), np.arange(n) % 3)
    rows, items = (check_vectors(one, "test", normalize=True) for one in (query, gallery))

    def different(block: RankedBlock) -> list[int]:
        return [len(np.unique(scores)) for scores in block.similarities]

    kept = rank_gallery(rows, items, layout, different, keep=n, block_rows=7)
    assert [count for block in kept for count in block] == [1] * 19


@pytest.mark.parametrize("listed", [False, True], ids=["labels", "lists"])
def test_a_ranking_never_holds_the_matrix_of_all_scores(listed: bool) -> None:
    """3,000 x 30,000 scores are 360 MB; two threads' buffers are 128 MB."""
    rng = np.random.default_rng(0)
    query = rng.standard_normal((3_000, 8)).astype(np.float32)
    gallery = rng.standard_normal((30_000, 8)).astype(np.float32)
    layout = build_layout(rng.integers(0, 10, 3_000), rng.integers(0, 10, 30_000))
    if listed:
        columns = [np.sort(rng.choice(30_000, 3_000, replace=False)) for _ in range(3_000)]
        lists = Lists(np.concatenate(columns).astype(np.int32), np.arange(3_001) * 3_000)
        none = np.zeros(3_000, dtype=np.int64), np.zeros(30_000, dtype=np.int64)
        layout = build_layout(*none, positives=lists)
    rows, items = raw(query), raw(gallery)
    tracemalloc.start()
    try:
        parts = rank_gallery(rows, items, layout, lambda block: len(block.pessimistic), keep=50, threads=2)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(parts) == 3_000
    assert peak < 190e6


def test_excluded_columns_are_found_by_id_on_both_sides_of_the_class_border() -> None:
    layout = build_layout(np.array([1, 0]), np.array([0, 1, 0, 1]), np.array([7, 8]), np.array([7, 7, 8, 9]))
    assert layout.order.tolist() == [0, 2, 1, 3]
    assert layout.labels.tolist() == [0, 0, 1, 1]
    assert layout.relevant.tolist() == [1, 1]
    assert layout.items.tolist() == [2, 3]
    row, column = layout.excluded.rows(slice(0, 2))
    assert list(zip(row.tolist(), column.tolist(), strict=True)) == [(0, 0), (0, 2), (1, 1)]


def test_an_error_in_a_thread_reaches_the_caller() -> None:
    query, gallery, _, _, layout = problem(4)

    def fail(block: RankedBlock) -> None:
        raise RuntimeError(f"at {block.rows.start}")

    with pytest.raises(RuntimeError, match="at 0"):
        rank_gallery(raw(query), raw(gallery), layout, fail, keep=1, threads=2, block_rows=2)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_ranking_without_some_items_is_that_of_the_smaller_gallery(threads: int) -> None:
    """Ids and ties included; the gallery's positions stay those of the whole one."""
    query, gallery, labels, ids, _ = problem(8)
    gallery_labels = np.random.default_rng(8).integers(0, 4, 90)
    layout = build_layout(labels, gallery_labels, ids[:23], ids)
    gone = [np.zeros(90, dtype=np.bool_), np.arange(90) % 5 == 2, gallery_labels == 1, np.arange(90) < 60]

    def plain(block: RankedBlock) -> tuple[list[int], list[int], list[list[int]]]:
        return block.pessimistic.values.tolist(), block.optimistic.values.tolist(), block.neighbors.tolist()

    without = [layout.without(items) for items in gone]
    whole = Problem.of(raw(query), raw(gallery), layout, keep=30, full=True)
    found = rank_without(whole, without, plain, threads=threads)
    for items, blocks in zip(gone, found, strict=True):
        stay = np.flatnonzero(~items)
        smaller = build_layout(labels, gallery_labels[stay], ids[:23], ids[stay])
        expected = rank_gallery(raw(query), raw(gallery[stay]), smaller, plain, keep=30)
        for part in (0, 1):
            ranks = [rank for block in blocks for rank in block[part]]
            assert ranks == [rank for block in expected for rank in block[part]]
        places = np.append(stay, -1)
        neighbors = [row for block in expected for row in places[block[2]].tolist()]
        assert [row for block in blocks for row in block[2]] == neighbors


def test_a_layout_without_items_counts_as_one_of_the_smaller_gallery_does() -> None:
    rng = np.random.default_rng(9)
    labels, gallery_labels = rng.integers(0, 5, 40), rng.integers(0, 4, 120)
    ids, gallery_ids = rng.integers(0, 30, 40), rng.integers(0, 30, 120)
    layout = build_layout(labels, gallery_labels, ids, gallery_ids)
    for share in (0.0, 0.05, 0.5, 1.0):
        stay = rng.random(120) >= share
        found = layout.without(~stay)
        smaller = build_layout(labels, gallery_labels[stay], ids, gallery_ids[stay])
        np.testing.assert_array_equal(found.relevant, smaller.relevant)
        np.testing.assert_array_equal(found.items, smaller.items)
        some = np.array([7, 3, 3, 39])
        np.testing.assert_array_equal(found.subset(some).relevant, smaller.relevant[some])
