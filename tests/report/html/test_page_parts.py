"""What the page is made of: chosen queries, pairs, matrices, thumbnails and drawings, against slow recomputation."""

from __future__ import annotations

import base64
import io
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image

from bench.contract import OnTest, Thresholds, UsageError
from bench.evaluation.metrics.verification import probabilities
from bench.evaluation.thresholds.operating_points import fit_thresholds
from bench.report.figures.classes import class_similarity, confusion, query_similarity, worst_confusions
from bench.report.figures.style import ACCENT, finish, style, with_bitmaps
from bench.report.figures.vectors import plane_by, principal_plane
from bench.report.html.leaderboard import number
from bench.report.html.pairs import draw_pairs, examples, most_mistaken
from bench.report.html.retrievals import choose
from bench.report.html.thumbnails import COLUMNS, Sheet
from bench.report.tables.groups import Answers


def unit(rng: np.random.Generator, *shape: int) -> Any:
    vectors = rng.normal(size=shape).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def answers_of(query: Any, gallery: Any, *, labels: Any, gallery_labels: Any, ids: Any, gallery_ids: Any) -> Answers:
    scores = query @ gallery.T
    scores[np.asarray(ids)[:, None] == np.asarray(gallery_ids)[None]] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, :5]
    return Answers(
        ids=np.asarray(ids),
        labels=np.asarray(labels),
        precision=np.linspace(0, 1, len(ids)),
        neighbors=order.astype(np.int32),
        similarities=np.take_along_axis(scores, order, axis=1).astype(np.float32),
        gallery_ids=np.asarray(gallery_ids),
        gallery_labels=np.asarray(gallery_labels),
        classes=tuple("abc"),
    )


@pytest.fixture
def small() -> tuple[Answers, Any, Any]:
    """Queries of which some are in the gallery too, in another order."""
    rng = np.random.default_rng(0)
    gallery, labels = unit(rng, 30, 6), rng.integers(0, 3, 30)
    names = [f"i{at:02}" for at in range(30)]
    rows = rng.permutation(30)[:12]
    query = np.concatenate([gallery[rows], unit(rng, 4, 6)])
    asked = np.concatenate([labels[rows], [0, 1, 2, 0]])
    ids = [names[row] for row in rows] + ["x0", "x1", "x2", "x3"]
    return answers_of(query, gallery, labels=asked, gallery_labels=labels, ids=ids, gallery_ids=names), query, gallery


def test_each_query_finds_its_own_place_in_the_gallery(small: tuple[Answers, Any, Any]) -> None:
    answers, _, _ = small
    own = answers.own_items()
    for at, name in enumerate(answers.ids):
        expected = list(answers.gallery_ids).index(name) if name in answers.gallery_ids else -1
        assert own[at] == expected


def test_class_similarity_is_the_mean_over_all_pairs_but_an_image_and_itself(small: tuple[Answers, Any, Any]) -> None:
    answers, query, gallery = small
    found = class_similarity(answers, query, gallery)
    rows = np.arange(len(answers.ids))
    single = query_similarity(answers, query, gallery, rows)
    for a in range(3):
        for b in range(3):
            cosines = [
                float(query[i] @ gallery[j])
                for i in np.flatnonzero(answers.labels == a)
                for j in np.flatnonzero(answers.gallery_labels == b)
                if answers.ids[i] != answers.gallery_ids[j]
            ]
            assert found[a, b] == pytest.approx(np.mean(cosines), abs=1e-6)
    for i in rows:
        others = [j for j in np.flatnonzero(answers.gallery_labels == 1) if answers.ids[i] != answers.gallery_ids[j]]
        assert single[i, 1] == pytest.approx(np.mean(gallery[others] @ query[i]), abs=1e-6)


def test_confusion_counts_the_class_of_the_nearest_neighbour(small: tuple[Answers, Any, Any]) -> None:
    answers, _, _ = small
    table = confusion(answers)
    assert table.sum(axis=1) == pytest.approx(1.0)
    nearest = answers.gallery_labels[answers.neighbors[:, 0]]
    assert table[0, 1] == np.mean(nearest[answers.labels == 0] == 1)
    told = worst_confusions(table, answers.classes, most=9)
    assert [share for *_, share in told] == sorted((share for *_, share in told), reverse=True)
    assert all(a != b for a, b, _ in told)


def test_the_best_typical_and_worst_queries_are_so_and_of_different_classes() -> None:
    precision = np.array([0.1, 0.2, np.nan, 0.5, 0.55, 0.6, 0.9, 1.0, 1.0])
    labels = np.array([0, 1, 0, 0, 0, 1, 1, 1, 0])
    chosen = choose(precision, labels)
    assert [kind for kind, _ in chosen] == ["best", "best", "typical", "typical", "worst", "worst"]
    assert [at for _, at in chosen][:2] == [7, 8]
    assert chosen[2] == ("typical", 4)  # the median is 0.575, and of equals the first
    assert [at for _, at in chosen][4:] == [0, 1]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.integers(1, 4))
@settings(max_examples=50, deadline=None)
def test_no_query_is_shown_twice_and_the_extremes_are_shown(values: list[float], classes: int) -> None:
    precision = np.array(values)
    chosen = choose(precision, np.arange(len(values)) % classes)
    rows = [at for _, at in chosen]
    assert len(rows) == len(set(rows)) == min(6, len(values))
    assert precision[rows[0]] == precision.max()
    if len(values) >= 6:
        assert precision[[at for kind, at in chosen if kind == "worst"]].min() == precision.min()


def test_pairs_are_of_the_kind_they_claim_and_never_an_image_with_itself(small: tuple[Answers, Any, Any]) -> None:
    answers, query, gallery = small
    pairs = draw_pairs(answers, count=500, seed=3)
    same = answers.labels[pairs.query] == answers.gallery_labels[pairs.item]
    assert np.array_equal(same, pairs.same)
    assert (pairs.same.sum(), (~pairs.same).sum()) == (500, 500)
    assert not np.any(answers.ids[pairs.query] == answers.gallery_ids[pairs.item])
    shown = examples(pairs)
    assert pairs.same[shown].tolist() == [True] * 3 + [False] * 3
    alike = pairs.similarities(query, gallery)
    (_, low), (_, high) = most_mistaken(pairs, alike)
    assert alike[low] == alike[pairs.same].min()
    assert alike[high] == alike[~pairs.same].max()


def test_pair_probabilities_are_calibrated_and_monotonic() -> None:
    rng = np.random.default_rng(1)
    centres = unit(rng, 8, 5)

    def draw(count: int) -> tuple[Any, Any]:
        labels = rng.integers(0, 8, count)
        vectors = centres[labels] + rng.normal(scale=0.35, size=(count, 5)).astype(np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), labels

    fitted = fit_thresholds(*draw(600))
    assert fitted is not None
    vectors, labels = draw(600)
    first, second = np.triu_indices(600, k=1)
    alike = np.einsum("ij,ij->i", vectors[first], vectors[second]).astype(np.float32)
    same = labels[first] == labels[second]
    found = probabilities(Thresholds(fitted, OnTest(0, (), None)), alike)
    assert found is not None
    assert np.all(np.diff(found[np.argsort(alike)]) >= 0)
    weight = np.where(same, 0.5 / same.sum(), 0.5 / (~same).sum())  # both kinds as frequent
    for low in (0.0, 0.3, 0.7):
        inside = (found >= low) & (found <= low + 0.3)
        if weight[inside].sum() > 0.02:
            truth = np.average(same[inside], weights=weight[inside])
            assert truth == pytest.approx(np.average(found[inside], weights=weight[inside]), abs=0.07)
    assert probabilities(None, alike) is None


def test_a_plane_keeps_the_two_directions_of_most_variance() -> None:
    rng = np.random.default_rng(2)
    vectors = (rng.normal(size=(200, 4)) * [5, 3, 0.1, 0.1]).astype(np.float32)
    plane = principal_plane(vectors, np.arange(200))
    assert "keep 100% of the variance" in plane.axes
    assert np.abs(np.corrcoef(plane.points[:, 0], vectors[:, 0])[0, 1]) > 0.999


def test_umap_keeps_groups_together_and_gives_the_same_map_again() -> None:
    pytest.importorskip("umap")
    rng = np.random.default_rng(0)
    group = np.arange(90) % 3
    vectors = (np.eye(3, 8)[group] + 0.05 * rng.normal(size=(90, 8))).astype(np.float32)
    rows = np.arange(0, 90, 2)
    plane = plane_by("umap")(vectors, rows)
    again = plane_by("umap")(vectors, rows)
    np.testing.assert_array_equal(plane.points, again.points)
    away = np.linalg.norm(plane.points[:, None] - plane.points[None], axis=2) + 1e9 * np.eye(len(rows))
    assert (group[rows][away.argmin(axis=1)] == group[rows]).all()


def test_without_its_package_umap_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(UsageError, match=r"pip install 'simbench-retrieval\[umap\]'"):
        plane_by("umap")


def test_a_sheet_holds_every_image_once_where_its_tile_says() -> None:
    sheet = Sheet("x")
    colours = [np.full((8, 8, 1), 8 * at, np.uint8) for at in range(COLUMNS + 2)]
    tiles = [sheet.add(at, pixels) for at, pixels in enumerate(colours)]
    assert sheet.add(3, colours[9]) == tiles[3]
    assert len(sheet) == COLUMNS + 2
    assert sheet.rows == 2
    content = base64.b64decode(sheet.data_uri().partition(",")[2])
    with Image.open(io.BytesIO(content)) as image:
        pixels = np.asarray(image.convert("L"))
    for at in (0, 5, COLUMNS + 1):
        assert abs(int(pixels[8 * tiles[at].y + 4, 8 * tiles[at].x + 4]) - 8 * at) < 6


def test_a_sheet_of_very_many_images_is_still_a_picture() -> None:
    sheet = Sheet("s-many")
    for at in range(COLUMNS * 400):
        sheet.add(at, np.full((48, 48, 1), at % 251, np.uint8))
    assert sheet.rows * sheet.side <= 16_383
    assert sheet.data_uri().startswith("data:image/webp")


def test_a_large_oblong_image_is_shown_whole_and_small() -> None:
    sheet = Sheet("x")
    sheet.add("wide", np.full((100, 300, 3), 255, np.uint8))
    assert sheet.side == 48


def drawn(label: str) -> Any:
    with style(), with_bitmaps():
        figure = Figure(figsize=(2, 1))
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1 / 3], color=ACCENT)
        axes.set_title(label)
        return finish(figure, "a-figure", alt=f"about {label}", caption="")


def test_a_drawing_follows_the_theme_on_the_page_and_keeps_its_colours_as_a_file() -> None:
    one = drawn("<b> & $x$ 0.98765")
    assert "var(--accent)" in one.inline
    assert ACCENT not in one.inline
    assert ACCENT in one.svg.decode()
    assert "&lt;b&gt; &amp; $x$ 0.98765</text>" in one.inline  # no mark-up, no formula, every digit
    assert 'aria-label="about &lt;b&gt; &amp; $x$ 0.98765"' in one.inline
    assert one.png.startswith(b"\x89PNG")


def test_the_same_drawing_has_the_same_bytes() -> None:
    first, second = drawn("x"), drawn("x")
    assert (first.svg, first.png, first.inline) == (second.svg, second.png, second.inline)


def test_numbers_are_written_as_tables_write_them() -> None:
    assert [number(v, d) for v, d in ((0.5, 3), (-0.0123, 3), (1.0, 3), (10.25, 3), (0.2, 2), (12345.6, 0))] == [
        ".500",
        "-.012",
        "1.000",
        "10.250",
        "0.20",
        "12,346",
    ]
