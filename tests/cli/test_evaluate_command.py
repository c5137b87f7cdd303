"""``simbench evaluate``: any vectors get the full table, the planted faults are told, mistakes cost one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from sklearn.datasets import load_digits

import bench

Call = Callable[..., Any]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, np.ndarray]:
    """Digits as the files of three parts, in the folder that the command runs in."""
    data = load_digits()
    rows = np.random.default_rng(0).permutation(len(data.target))
    vectors, labels = data.data.astype(np.float32)[rows], data.target[rows]
    cuts = {"q": slice(0, 80), "g": slice(80, 380), "v": slice(380, 580)}
    arrays: dict[str, np.ndarray] = {}
    for name, cut in cuts.items():
        arrays |= {name: vectors[cut], f"{name}y": labels[cut]}
        np.save(tmp_path / f"{name}.npy", vectors[cut])
        np.save(tmp_path / f"{name}y.npy", labels[cut])
    lines = "".join(f"g{row},{label}\n" for row, label in enumerate(labels[cuts["g"]]))
    (tmp_path / "g.csv").write_text("id,label\n" + lines, encoding="utf-8")
    return arrays


QUERY = ("--query", "q.npy", "--query-labels", "qy.npy")
GALLERY = ("--gallery", "g.npy", "--gallery-labels", "g.csv")


def test_the_command_prints_what_the_python_face_returns(simbench: Call, files: dict[str, np.ndarray]) -> None:
    outcome = simbench("evaluate", *QUERY, *GALLERY, "-k", "10", "--threads", "1", "--json")
    assert outcome.code == 0, outcome.err
    printed = json.loads(outcome.out)
    found = bench.evaluate(files["q"], files["qy"], files["g"], files["gy"], ks=(10,), threads=1)
    assert printed["scores"] == pytest.approx(dict(found.scores))
    assert printed["ci95"]["map@10"] == pytest.approx(list(found.ci95["map@10"]))
    assert printed["flags"] == []
    assert printed["thresholds"] is None
    assert {one["name"] for one in printed["controls"]} >= {"shuffled_labels", "hubness"}


def test_without_a_gallery_each_query_asks_all_the_others(simbench: Call, files: dict[str, np.ndarray]) -> None:
    printed = json.loads(simbench("evaluate", *QUERY, "--threads", "1", "--json").out)
    ids = np.arange(80)
    words = (files["q"], files["qy"], files["q"], files["qy"])
    found = bench.evaluate(*words, query_ids=ids, gallery_ids=ids, threads=1)
    assert printed["scores"]["map"] == pytest.approx(found.scores["map"])
    assert printed["flags"] == []
    assert "80 queries, each asks all the others" in simbench("evaluate", *QUERY).out


def test_a_self_match_left_in_is_told_beside_the_table(simbench: Call, files: dict[str, np.ndarray]) -> None:
    outcome = simbench("evaluate", *QUERY, "--gallery", "q.npy", "--gallery-labels", "qy.npy")
    assert outcome.code == 0, outcome.err
    assert "**control failed: nearest_is_a_copy 1 (limit 0.05)**" in outcome.out
    assert "FAILED" in outcome.out


def test_queries_that_are_in_train_are_told(simbench: Call, files: dict[str, np.ndarray]) -> None:
    assert "control failed: train_is_test 1" in simbench("evaluate", *QUERY, "--train", "q.npy").out
    assert "control failed" not in simbench("evaluate", *QUERY, "--train", "g.npy").out


def test_other_tools_numbers_stand_in_columns_beside_ours(simbench: Call, files: dict[str, np.ndarray]) -> None:
    words = ("evaluate", *QUERY, *GALLERY, "-k", "10", "--dialect", "oml", "--dialect", "trec", "--threads", "1")
    told = json.loads(simbench(*words, "--json").out)["dialects"]
    found = bench.evaluate(files["q"], files["qy"], files["g"], files["gy"], ks=(10,), threads=1)
    divided = found.per_query["map@10"] * np.minimum(10, found.per_query["relevant"]) / found.per_query["relevant"]
    assert told["trec"] == {"map@10": pytest.approx(divided.mean())}
    assert told["oml"]["map@10"] >= found.scores["map@10"]
    (row,) = (line for line in simbench(*words).out.splitlines() if line.startswith("| map@10"))
    assert f"{told['oml']['map@10']:.4f}" in row
    assert f"{told['trec']['map@10']:.4f}" in row


def test_thresholds_come_from_validation(simbench: Call, files: dict[str, np.ndarray]) -> None:
    words = ("evaluate", *QUERY, *GALLERY, "--validation", "v.npy", "--validation-labels", "vy.npy")
    told = json.loads(simbench(*words, "--json").out)["thresholds"]
    assert told["validation"]["images"] == 200
    assert [point["target"] for point in told["test"]["points"]] == [0.1, 0.01, None]
    text = simbench(*words).out
    assert "false-match rate 0.01: similarity >= " in text
    assert "open set: nearest similarity < " in text


def test_saved_files_hold_what_was_printed(simbench: Call, files: dict[str, np.ndarray], tmp_path: Path) -> None:
    printed = json.loads(simbench("evaluate", *QUERY, "--save", "out", "--json", "--threads", "1").out)
    saved = json.loads((tmp_path / "out" / "evaluation.json").read_text(encoding="utf-8"))
    assert saved["scores"] == printed["scores"]
    with np.load(tmp_path / "out" / "per_query.npz") as arrays:
        assert np.nanmean(arrays["map"]) == pytest.approx(printed["scores"]["map"])
        assert arrays["ids"].tolist() == list(range(80))
        np.testing.assert_array_equal(arrays["labels"], files["qy"])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), ("Missing option '--query'", 2)),
        (("--query", "q.npy", "--query-labels", "none.npy"), ("no such file: none.npy", 1)),
        (("--query", "q.npy", "--query-labels", "gy.npy"), ("80 query vectors, but query labels have shape (300,)", 1)),
        ((*QUERY, "--gallery", "g.npy"), ("give --gallery and --gallery-labels, both", 2)),
        ((*QUERY, *GALLERY, "--gallery-ids", "g.csv"), ("give ids of both", 2)),
        ((*QUERY, "--gallery-ids", "g.csv"), ("--gallery-ids without --gallery", 2)),
        ((*QUERY, "--dialect", "trek"), ("did you mean 'trec'?", 2)),
        ((*QUERY, "--ties", "meen"), ("unknown ties 'meen'", 2)),
        ((*QUERY, "-k", "0"), ("every k must be a whole number above 0", 2)),
        ((*QUERY, "--validation", "v.npy"), ("give --validation and --validation-labels, both", 2)),
        (("--query", "nan.npy", "--query-labels", "qy.npy"), ("rows are not finite, the first is row 7", 1)),
        ((*QUERY, "--train", "qy.npy"), ("train vectors must have shape (n, d)", 1)),
    ],
)
def test_a_mistake_is_told_in_one_line(
    simbench: Call, files: dict[str, np.ndarray], tmp_path: Path, words: tuple[str, ...], told: tuple[str, int]
) -> None:
    broken = files["q"].copy()
    broken[7, 0] = np.nan
    np.save(tmp_path / "nan.npy", broken)
    complaint, code = told
    outcome = simbench("evaluate", *words)
    assert outcome.code == code, outcome.err
    assert len([line for line in outcome.err.splitlines() if complaint in line]) == 1, outcome.err
    assert "Traceback" not in outcome.err


def test_vectors_of_two_runs_are_not_mixed(simbench: Call, files: dict[str, np.ndarray], tmp_path: Path) -> None:
    def save(name: str, **facts: str) -> None:
        vectors = np.ascontiguousarray(files[name], np.float32)
        safetensors.numpy.save_file({"vectors": vectors}, tmp_path / f"{name}.safetensors", metadata=facts)

    asked = ("evaluate", "--query", "q.safetensors", "--query-labels", "qy.npy", *GALLERY, "--threads", "1")
    words = [word.replace("g.npy", "g.safetensors") if word == "g.npy" else word for word in asked]
    save("q", run="shoes/loo/hog/1/seed0", model="aa")
    for facts in ({"run": "shoes/loo/lda/2/seed0", "model": "bb"}, {"run": "shoes/loo/hog/1/seed0", "model": "bb"}):
        save("g", **facts)
        refused = simbench(*words)
        assert (refused.code, refused.err.count("\n")) == (1, 1), refused.err
        assert "--gallery was made by run" in refused.err
        assert "vectors of two models cannot be compared" in refused.err
    for facts in ({"run": "shoes/loo/hog/1/seed0", "model": "aa"}, {"run": "shoes/loo/hog/1/seed0"}, {}):
        save("g", **facts)
        assert simbench(*words).code == 0
