"""Benchmarks whose answers are lists, or are not to be of the query's own camera: who answers whom, counted by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from miniature_benchmarks import (
    DISC,
    DUKE,
    GLDV2,
    MARKET,
    MSMT,
    OXFORD,
    OXFORD_1M,
    OXFORD_DATABASE,
    OXFORD_QUERIES,
    OXFORD_TRUTH,
    VERI,
    Miniature,
    gnd,
)
from PIL import Image

from bench import evaluate
from bench.contract import Collection, DataError, DataPlace
from bench.data.splits.answers import relevant_items
from bench.registry import get_dataset
from bench.session import run

Png = Callable[[int], bytes]
ALL_SOULS = "all_souls_00000{}"


def load(name: str, miniature: Miniature, place: DataPlace, png: Png, **options: Any) -> Collection:
    assert place.root is not None
    miniature.put(place.root, png)
    loader: Any = get_dataset(name)(**options)
    found: Collection = loader.load(place)
    return found


@pytest.mark.parametrize(
    ("variant", "positives", "ignored"),
    [
        ("easy", ("03", ""), ("14", "25")),
        ("medium", ("031", "2"), ("4", "5")),
        ("hard", ("1", "2"), ("034", "5")),
        ("hard_1m", ("1", "2"), ("034", "5")),
    ],
)
def test_revisited_lists_by_difficulty_say_who_answers(
    variant: str, positives: tuple[str, ...], ignored: tuple[str, ...], place: DataPlace, png: Png
) -> None:
    found = load("roxford5k", OXFORD_1M, place, png, variant=variant)
    assert found.query is not None
    assert found.gallery is not None
    asked = found.query.relevance
    assert asked is not None
    assert asked.positives == tuple(tuple(ALL_SOULS.format(n) for n in one) for one in positives)
    assert asked.ignored == tuple(tuple(ALL_SOULS.format(n) for n in one) for one in ignored)
    assert relevant_items(found.query, found.gallery).tolist() == [len(one) for one in positives]
    assert found.query.ids.tolist() == OXFORD_QUERIES
    assert found.metrics == ("map_trapezoid", "mp@k")


def test_a_revisited_query_is_its_box_rounded_as_pillow_rounds_it(place: DataPlace, png: Png) -> None:
    assert place.root is not None
    OXFORD.put(place.root, png)
    shown = np.zeros((8, 8, 3), np.uint8)
    shown[:6, 1:] = 255  # of the box 1.4, 0.0, 7.6, 6.5
    Image.fromarray(shown).save(place.root / OXFORD.folder / f"jpg/{OXFORD_QUERIES[0]}.jpg", "PNG")
    loader: Any = get_dataset("roxford5k")()
    assert (loader.load(place).query.images.take(slice(0, 1)) == 255).all()


WITHOUT_HARD = {"bbx": [0, 0, 8, 8], "easy": [], "junk": []}


@pytest.mark.parametrize(
    ("truth", "complaint"),
    [
        ([{**OXFORD_TRUTH[0], "bbx": [1, 2]}, OXFORD_TRUTH[1]], "query 0: its bbx is not four numbers"),
        ([OXFORD_TRUTH[0], {**OXFORD_TRUTH[1], "easy": ["x"]}], "query 1: its easy is not a list of whole numbers"),
        ([OXFORD_TRUTH[0], WITHOUT_HARD], "ground truth of query 1: no list 'hard'"),
        ([{**OXFORD_TRUTH[0], "hard": [6]}, OXFORD_TRUTH[1]], "query 0: hard has 6, but there are 6 images"),
        ([OXFORD_TRUTH[0]], "2 queries, but answers of 1"),
        ([3, 4], "not lists called imlist, qimlist and gnd"),
    ],
)
def test_a_ground_truth_that_is_not_revisiteds_is_told_in_one_line(
    truth: list[Any], complaint: str, place: DataPlace, png: Png
) -> None:
    written = gnd(*truth, imlist=OXFORD_DATABASE, qimlist=OXFORD_QUERIES)
    with pytest.raises(DataError, match=complaint) as caught:
        load("roxford5k", replace(OXFORD, lists={"gnd_roxford5k.pkl": written}), place, png)
    assert "\n" not in str(caught.value)


def test_distractors_that_are_not_there_are_asked_for_in_one_line(place: DataPlace, png: Png) -> None:
    with pytest.raises(DataError, match=r"revisitop1m\.txt: line 1: no such picture below .*jpg: 0/a\.jpg"):
        load("roxford5k", OXFORD, place, png, variant="easy_1m")
    with pytest.raises(DataError, match=r"no images/ with the 500,000 distractors; market1501:standard needs none"):
        load("market1501", replace(MARKET, pictures=MARKET.pictures[:-1]), place, png, variant="500k")


@pytest.mark.parametrize(
    ("name", "miniature", "cameras", "answers"),
    [
        ("market1501", MARKET, ("c1 c2 c1", "c1 c1 c1 c4 c1"), [1, 3, 0]),
        ("dukemtmc", DUKE, ("c2", "c5 c2"), [1]),
        ("veri776", VERI, ("c002", "c002 c004 c003"), [1]),
        ("msmt17", MSMT, ("01", "01 14 02"), [1]),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_a_query_sees_no_picture_of_its_identity_by_its_own_camera(  # noqa: PLR0917 - fixtures
    name: str, miniature: Miniature, cameras: tuple[str, str], answers: list[int], place: DataPlace, png: Png
) -> None:
    found = load(name, miniature, place, png)
    assert found.query is not None
    assert found.gallery is not None
    assert found.query.groups is not None
    assert found.gallery.groups is not None
    assert (" ".join(found.query.groups.tolist()), " ".join(found.gallery.groups.tolist())) == cameras
    assert relevant_items(found.query, found.gallery).tolist() == answers
    assert found.metrics == ("map_trapezoid", "minp")


@pytest.mark.parametrize(
    ("name", "miniature", "changed", "complaint"),
    [
        (
            "market1501",
            MARKET,
            "query/somebody.jpg",
            "query: somebody.jpg does not begin with an identity and a camera",
        ),
        (
            "msmt17",
            replace(MSMT, lists={**MSMT.lists, "list_val.txt": b"a.jpg 1\n"}),
            "train/a.jpg",
            "no camera in the",
        ),
    ],
)
def test_a_name_without_a_camera_is_told_in_one_line(  # noqa: PLR0917 - fixtures
    name: str, miniature: Miniature, changed: str, complaint: str, place: DataPlace, png: Png
) -> None:
    with pytest.raises(DataError, match=complaint) as caught:
        load(name, replace(miniature, pictures=[*miniature.pictures, changed]), place, png)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "miniature", "positives"),
    [("gldv2", GLDV2, (("abd0", "abc0"), ("abc0",))), ("disc21", DISC, (("R000002",), (), ("R000000",)))],
)
def test_a_solution_lists_the_answers_of_each_query(
    name: str, miniature: Miniature, positives: tuple[tuple[str, ...], ...], place: DataPlace, png: Png
) -> None:
    found = load(name, miniature, place, png)
    assert found.query is not None
    assert found.query.relevance is not None
    assert found.query.relevance.positives == positives
    assert found.query.relevance.ignored is None


@pytest.mark.parametrize(
    ("name", "miniature", "changed", "complaint"),
    [
        ("gldv2", GLDV2, {"index.csv": b"id\nabc0\n"}, "v2.1.csv: line 2: abd0 is no picture of the gallery"),
        ("gldv2", GLDV2, {"index.csv": b"name\nabc0\n"}, "index.csv: line 1: expected 'id'"),
        ("gldv2", GLDV2, {"test/f/f/f/fff0.jpg": None}, "v2.1.csv: line 4: no such picture below .*: f/f/f/fff0.jpg"),
        ("disc21", DISC, {"public_ground_truth.csv": b"Q,R\n"}, "line 1: expected 'query_id,reference_id'"),
        ("disc21", DISC, {"images/queries/Q00001.jpg": None}, "truth.csv: line 3: no such picture below"),
        ("disc21", DISC, {"images/references/R000000.jpg": None}, "truth.csv: line 4: R000000 is no picture of the"),
    ],
)
def test_a_solution_that_does_not_fit_is_told_in_one_line(  # noqa: PLR0917 - fixtures
    name: str,
    miniature: Miniature,
    changed: dict[str, bytes | None],
    complaint: str,
    place: DataPlace,
    tmp_path: Path,
    png: Png,
) -> None:
    miniature.put(tmp_path / "root", png, changed)
    with pytest.raises(DataError, match=complaint) as caught:
        get_dataset(name)().load(place)
    assert "\n" not in str(caught.value)


def test_a_copy_of_nothing_counts_in_micro_ap_and_not_in_the_means_of_queries() -> None:
    query, gallery = np.array([[0.5, 0.0], [0.0, 0.9]]), np.eye(2)
    found = evaluate(
        query, None, gallery, None, positives=[[0], []], normalize=False, metrics=["micro_ap", "recall_at_p90"], ks=[1]
    )
    assert (found.scores["map"], found.scores["queries_without_relevant"]) == (1.0, 1)
    assert found.scores["micro_ap"] == 0.5  # 0.9, of the copy of nothing, stands before the answer's 0.5
    assert found.scores["recall_at_p90"] == 0.0


@pytest.mark.parametrize(("name", "miniature"), [("roxford5k", OXFORD), ("market1501", MARKET), ("disc21", DISC)])
def test_a_run_reports_what_the_benchmark_does(name: str, miniature: Miniature, tmp_path: Path, png: Png) -> None:
    miniature.put(tmp_path / "root", png)
    scores = run("pixels", name, data_root=str(tmp_path / "root"), runs=str(tmp_path / "runs")).result.scores
    reported = {
        "roxford5k": {"map_trapezoid", "mp@1", "mp@5", "mp@10"},
        "market1501": {"map_trapezoid", "minp"},
        "disc21": {"micro_ap", "recall_at_p90"},
    }
    assert scores.keys() >= {"map", "hit@1", *reported[name]}
