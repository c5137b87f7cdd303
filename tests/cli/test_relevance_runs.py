"""A run on a table with lists or cameras is scored by these, and what reads a finished run reads them too."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from bench import per_query
from bench.evaluation.evaluate import evaluate_set
from bench.evaluation.metrics.ranking import average_precision_at
from bench.evaluation.reranking.embedded import Embedded, shortlist_ranks
from bench.report.html.pairs import draw_pairs
from bench.report.html.retrievals import questions
from bench.report.tables.groups import read_answers
from bench.runs.loaded_run import find_run
from bench.runs.ranked import ranked_set

TABLES = {
    "listed": "path,label,split,is_query,is_gallery,positives,ignore,gains",
    "cameras": "path,label,split,is_query,is_gallery,camera",
}
QUERIES, ITEMS = 8, 40


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """Two tables of the same noisy pictures of four kinds; in one the labels of queries and gallery say nothing."""
    rng = np.random.default_rng(5)
    kinds = np.arange(60) % 4
    means = rng.integers(60, 190, (4, 12, 12))
    folder = tmp_path / "own"
    folder.mkdir()
    for number, kind in enumerate(kinds):
        pixels = np.clip(means[kind] + rng.normal(0, 130, (12, 12)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    items = range(QUERIES, QUERIES + ITEMS)
    for name, head in TABLES.items():
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            write = csv.writer(file).writerow
            write(head.split(","))
            for number, kind in enumerate(kinds):
                found = [f"{item}.png" for item in items if kinds[item] == kind]
                asks, is_item = number < QUERIES, number in items
                label = "thing" if name == "listed" and (asks or is_item) else f"kind {kind}"
                part = "test" if asks or is_item else "train"
                gains = " ".join(str(1 + place % 3) for place in range(len(found[3:])))
                lists = [" ".join(found[3:]), " ".join(found[:3]), gains] if asks else ["", "", ""]
                rest = lists if name == "listed" else [str(number % 3)]
                write([f"{number}.png", label, part, int(asks), int(is_item), *rest])
    return folder


def plain_values(run: Path, name: str) -> tuple[list[float], list[int]]:
    """Return map and the number of ranked items of every query, by a loop over the vectors that the run kept."""
    vectors = load_file(run / "embeddings.safetensors")
    kinds, cameras = np.arange(60) % 4, np.arange(60) % 3
    values, ranked = [], []
    for query in range(QUERIES):
        items = np.arange(QUERIES, QUERIES + ITEMS)
        alike = kinds[items] == kinds[query]
        passed = np.isin(items, items[alike][:3]) if name == "listed" else alike & (cameras[items] == cameras[query])
        scores = vectors["gallery"][~passed] @ vectors["query"][query]
        hits = alike[~passed][np.argsort(-scores)]
        places = np.flatnonzero(hits) + 1
        values.append(float((np.arange(1, len(places) + 1) / places).mean()))
        ranked.append(int((~passed).sum()))
    return values, ranked


@pytest.mark.parametrize("name", list(TABLES))
def test_a_run_is_scored_by_lists_and_by_cameras(simbench: Callable[..., Any], tables: Path, name: str) -> None:
    done = simbench(
        "run", "-m", "pixels", "-d", str(tables / f"{name}.csv"), "--threads", "1", "-q", "--runs", "runs", "-k", "5"
    )
    assert done.code == 0, done.err
    (run,) = Path("runs").glob(f"own-{name}/given/pixels/*/seed0")
    values, ranked = plain_values(run, name)
    with np.load(run / "per_query.npz") as kept:
        np.testing.assert_allclose(kept["map"], values, atol=1e-9)
        assert kept["items"].tolist() == ranked
    result = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert result["scores"]["map"] == pytest.approx(np.mean(values))
    of_labels = {"label_in_a_dimension", "too_perfect", "intra_class_cosine", "inter_class_cosine"}
    controls = {one["name"] for one in result["controls"]}
    if name == "listed":
        assert (result["macro"], result["ci95_other_classes"]) == ({}, {})
        assert not any(score.startswith("knn_accuracy") for score in result["scores"])
        assert not controls & of_labels
        assert {"shuffled_labels", "random_vectors"} <= controls
        assert any(note.startswith("lists say what answers") for note in result["data"]["notes"])
    else:
        assert "map" in result["macro"]
        assert of_labels <= controls
    assert result["ci95"]["map"][0] < np.mean(values) < result["ci95"]["map"][1]
    data = ranked_set(find_run(run))
    again = evaluate_set(data, ks=(5,), threads=1, replicates=False)
    assert again.scores["ndcg@5"] == pytest.approx(result["scores"]["ndcg@5"])
    assert (data.positives is not None and data.positives.gains is not None) == (name == "listed")
    assert list(per_query(run).columns[:2]) == ["id", "label"]
    found = shortlist_ranks(Embedded.of(data).shortlist(5), data, 5)  # what indexes and re-ranking are scored by
    assert average_precision_at(found, 5).mean() == pytest.approx(result["scores"]["map@5"])


def test_what_reads_a_run_of_lists_goes_by_them(simbench: Callable[..., Any], tables: Path) -> None:
    table = str(tables / "listed.csv")
    done = simbench("run", "-m", "pixels", "-d", table, "--threads", "1", "-q", "--runs", "runs", "-k", "5")
    assert done.code == 0, done.err
    record, kinds = find_run(Path("runs")), np.arange(60) % 4
    answers = read_answers(record)
    query, item = (side.ravel() for side in np.indices((QUERIES, ITEMS)))
    right = answers.right(query, item)
    assert not right[kinds[query] != kinds[QUERIES + item]].any()
    assert right.sum() == QUERIES * (ITEMS // 4 - 3)
    pairs = draw_pairs(answers, count=200)
    assert np.array_equal(answers.right(pairs.query, pairs.item), pairs.same)
    assert pairs.same.sum() == 200
    assert answers.seen(pairs.query, pairs.item).all()
    assert not answers.seen(query, item)[kinds[query] == kinds[QUERIES + item]].all()
    shown = questions({None: answers}, None)  # type: ignore[dict-item] # its row is only passed on
    hits = [found.right for found in shown[0].answers[0].found]
    assert hits == answers.right(np.full(8, shown[0].position), answers.neighbors[shown[0].position, :8]).tolist()
    told = simbench("leaderboard", "--runs", "runs")
    assert told.code == 0, told.err
    for words, said in (
        (
            ("run", "-m", "pixels", "-d", table, "--protocol", "loo"),
            "protocol loo needs a test part, and there is none",
        ),
        (("threshold", "runs", "--similarity", "0.5"), "thresholds are fitted on labels, and here lists say"),
    ):
        refused = simbench(*words)
        assert (refused.code, said in refused.err) == (1, True), refused.err
