"""``simbench evaluate``: any vectors get the full table, the planted faults are told, mistakes cost one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import scipy.sparse
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
        ((*QUERY, "--positives", "p.jsonl"), ("leave out --query-labels", 2)),
        ((*QUERY, "--metric", "minpp"), ("no metric to ask for: 'minpp'", 2)),
        ((*QUERY, "--ignore", "p.txt"), ("p.txt: cannot be read as lists", 2)),
        ((*QUERY, *GALLERY, "--query-groups", "qy.npy"), ("give groups of both", 2)),
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


def judged(rng: np.random.Generator) -> list[dict[str, float]]:
    """What each of 80 queries is answered by, of 300 items, and what that is worth."""
    return [{f"g{item}": float(rng.integers(0, 4)) for item in rng.choice(300, 9, replace=False)} for _ in range(80)]


@pytest.mark.parametrize("kind", ["jsonl", "csv", "npz"])
def test_answers_with_gains_come_from_files(
    simbench: Call, files: dict[str, np.ndarray], tmp_path: Path, kind: str
) -> None:
    answers = judged(np.random.default_rng(1))
    passed = [[f"g{item}" for item in range(300) if f"g{item}" not in one][:5] for one in answers]
    (tmp_path / "q.txt").write_text("".join(f"q{row}\n" for row in range(80)), encoding="utf-8")
    if kind == "jsonl":
        lines = [json.dumps(one) for one in answers]
    else:
        lines = ["query,item,gain", *(f"q{row},{i},{x}" for row, one in enumerate(answers) for i, x in one.items())]
    (tmp_path / f"p.{kind}").write_text("\n".join(lines), encoding="utf-8")
    if kind == "npz":
        matrix = np.array([[one.get(f"g{item}", 0.0) for item in range(300)] for one in answers])
        scipy.sparse.save_npz(tmp_path / "p.npz", scipy.sparse.csr_array(matrix))
    (tmp_path / "no.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in passed), encoding="utf-8")
    sides = ("--query", "q.npy", "--query-ids", "q.txt", "--gallery", "g.npy", "--gallery-ids", "g.csv")
    words = ("evaluate", *sides, "--positives", f"p.{kind}", "--ignore", "no.jsonl", "--metric", "minp", "-k", "10")
    outcome = simbench(*words, "--threads", "1", "--json")
    assert outcome.code == 0, outcome.err
    found = bench.evaluate(
        files["q"], None, files["g"], None, query_ids=[f"q{row}" for row in range(80)],
        gallery_ids=[f"g{row}" for row in range(300)], positives=[list(one) for one in answers],
        gains=[list(one.values()) for one in answers], ignore=passed, metrics=["minp"], ks=[10], threads=1,
    )  # fmt: skip
    assert json.loads(outcome.out)["scores"] == pytest.approx(dict(found.scores))
    assert "minp" in found.scores
    if kind == "csv":
        saved = simbench(*words, "--threads", "1", "--save", "out")
        assert "| ndcg@10" in saved.out
        with np.load(tmp_path / "out" / "per_query.npz") as arrays:
            assert "labels" not in arrays


def test_groups_hide_what_a_query_shares_a_camera_with(simbench: Call, files: dict[str, np.ndarray]) -> None:
    cameras = [np.arange(count) % 3 for count in (80, 300)]
    for name, one in zip("qg", cameras, strict=True):
        np.save(f"{name}c.npy", one)
    words = (*QUERY, *GALLERY, "--query-groups", "qc.npy", "--gallery-groups", "gc.npy", "--threads", "1", "--json")
    found = bench.evaluate(
        files["q"], files["qy"], files["g"], files["gy"], query_groups=cameras[0], gallery_groups=cameras[1], threads=1
    )
    assert json.loads(simbench("evaluate", *words).out)["scores"] == pytest.approx(dict(found.scores))


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (("p.jsonl", "[0]\n[1, 300]\n"), "p.jsonl: 2 lines for 80 queries"),
        (("p.jsonl", "[0]\n[300]\n" + "[]\n" * 78), "p.jsonl: line 2: 300 is not a row number below 300"),
        (("p.jsonl", "[0]\n[1\n" + "[]\n" * 78), "p.jsonl: line 2: not valid JSON"),
        (("p.jsonl", "[0]\n5\n" + "[]\n" * 78), "p.jsonl: line 2: 5 is neither a list of ids nor an object"),
        (("p.jsonl", '{"0": -1}\n' + "[]\n" * 79), "p.jsonl: line 1: the gain -1 is not a finite number"),
        (("p.csv", "query,item\n0,1\n80,1\n"), "p.csv: line 3: '80' is not a row number below 80"),
        (("p.csv", "query,item,gain\n0,1,2\n0,1,3\n"), "p.csv: line 3: '1' has the gains 2 and 3; give it one"),
        (("p.csv", "query,items\n0,1\n"), "p.csv: line 1: no column 'item'; did you mean 'items'?"),
        (("p.npz", "no matrix"), "p.npz: not a sparse matrix"),
        (("none.csv", ""), "no such file: gone.csv"),
    ],
)
def test_what_is_wrong_in_a_file_of_answers_is_told_with_its_line(
    simbench: Call, files: dict[str, np.ndarray], tmp_path: Path, file: tuple[str, str], said: str
) -> None:
    name, text = file
    (tmp_path / name).write_text(text, encoding="utf-8")
    asked = name if name != "none.csv" else "gone.csv"
    outcome = simbench("evaluate", "--query", "q.npy", "--gallery", "g.npy", "--positives", asked)
    assert (outcome.code, outcome.err.count("\n")) == (1, 1), outcome.err
    assert said in outcome.err


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
