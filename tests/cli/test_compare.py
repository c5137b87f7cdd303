"""`simbench compare` on runs of real digits: its words, its numbers, and what it refuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_runs import (
    DATA,
    NOTHING,
    add_digests,
    change_run,
    fake_result,
    fake_spec,
    measured_in,
    write_beside,
    write_fake,
)
from numpy.typing import NDArray
from scipy import stats
from sklearn.datasets import load_digits

from bench.evaluation.evaluate import evaluate
from bench.evaluation.statistics.paired_tests import compare
from bench.files import packed_arrays
from bench.runs.artifacts import save_replicates
from bench.runs.integrity import FileWriter

USAGE, FAILURE = 2, 1
LOO = "runs/digits/loo"


HEADS = ("method", "random")


def write_run(
    root: Path, method: str, vectors: NDArray[Any], seed: int = 0, protocol: str = "loo", **spec: Any
) -> None:
    """Write what `compare` reads of a run: vectors of 300 digits, each asking all the others."""
    labels, ids = load_digits().target[:300], [f"test/{i}" for i in range(300)]
    found = evaluate(vectors, labels, vectors, labels, query_ids=ids, gallery_ids=ids, threads=1)
    facts = {"seed": seed, "scores": found.scores}
    folder = write_fake(root, fake_result(fake_spec(method=method, protocol=protocol, **spec), **facts))
    names = {"ids": np.array(ids), "labels": labels, "classes": np.array([str(digit) for digit in range(10)])}
    files = FileWriter(folder)
    files.write("per_query.npz", packed_arrays({**names, **found.per_query, "neighbors": found.neighbors}))
    save_replicates(files, found.replicates)
    add_digests(folder, files)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of three ways to describe digits, two seeds of one of them, and one by another protocol."""
    root = tmp_path_factory.mktemp("finished") / "runs"
    pixels = load_digits().data[:300] + 0.1
    write_run(root, "pixels", pixels)
    write_run(root, "pca", pixels - pixels.mean(axis=0))
    write_run(root, "hog", pixels, protocol="holdout")
    for seed in (0, 1):
        write_run(root, "random", pixels @ np.random.default_rng(seed).standard_normal((64, 6)), seed)
    return root


@pytest.fixture
def runs(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "runs"))


def only(folder: Path) -> Path:
    """The one key folder of a method."""
    (key,) = (path for path in folder.iterdir() if path.is_dir())
    return key


@pytest.mark.usefixtures("runs")
def test_methods_are_compared_with_the_first_in_words_and_numbers(simbench: Callable[..., Any], runs: Path) -> None:
    outcome = simbench("compare", "pixels", "pca", "random", "--changed", "3", "--json")
    assert outcome.code == 0, outcome.err
    found = json.loads(outcome.out)
    folders = {
        method: sorted(only(runs / "digits/loo" / method).glob("seed*")) for method in ("pixels", "pca", "random")
    }
    values = {
        method: np.stack([np.load(seed / "per_query.npz")["map"] for seed in seeds])
        for method, seeds in folders.items()
    }
    reference, *others = (measured_in(seeds, "map") for seeds in folders.values())
    expected = compare(reference, others)
    assert [side["name"] for side in found["sides"]] == ["pixels", "pca", "random"]
    assert found["sides"][2]["seeds"] == [0, 1]
    for side, one in zip(found["sides"][1:], expected, strict=True):
        assert side["against"]["difference"] == pytest.approx(one.difference)
        assert side["against"]["p_corrected"] == pytest.approx(one.p_corrected)
        assert (side["against"]["low"], side["against"]["high"]) == pytest.approx((one.low, one.high))
        difference = values[side["name"]].mean(axis=0) - values["pixels"][0]
        assert abs(side["changed"][0]["value"] - side["changed"][0]["reference"]) == pytest.approx(
            abs(difference).max()
        )
        assert side["better_in"] + side["worse_in"] <= len(side["by_class"]) == 10
    assert found["sides"][2]["verdict"] == "worse"
    assert found["interval_of"] == "these_classes"


def test_the_table_names_verdicts_classes_queries_and_what_could_be_seen(
    simbench: Callable[..., Any], runs: Path
) -> None:
    seed = only(runs / "digits/loo/random") / "seed0"
    change_run(seed, trained=True)
    outcome = simbench("compare", f"{LOO}/pixels", str(seed), "--metric", "mean_rank")
    assert outcome.code == 0, outcome.err
    assert "mean_rank ↓" in outcome.out
    heads, row = (next(line for line in outcome.out.splitlines() if line.startswith(f"| {name}")) for name in HEADS)
    lead = [head.strip() for head in heads.split("|")].index("lead")
    assert row.split("|")[lead].strip().startswith("-")  # a higher mean rank, which is worse
    assert "| worse" in outcome.out
    assert "detectable" in outcome.out
    assert "Classes: " in outcome.out
    assert "Note: one seed only of random: this speaks of those trained models" in outcome.out
    assert "other images of these classes, not for other classes" in " ".join(outcome.out.split())


def test_two_seeds_far_apart_leave_open_what_each_alone_would_tell(simbench: Callable[..., Any], runs: Path) -> None:
    key = only(runs / "digits/loo/random")
    verdicts = [
        json.loads(simbench("compare", "pixels", str(folder), "--metric", "mean_rank", "--json").out)["sides"][1][
            "verdict"
        ]
        for folder in (key / "seed0", key / "seed1", key)
    ]
    assert verdicts == ["worse", "worse", "not separable"]


@pytest.mark.usefixtures("runs")
def test_a_comparison_fits_the_terminal_with_its_verdict_unless_wide(
    simbench: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "90")
    words = ("compare", f"{LOO}/pixels", f"{LOO}/random", "--changed", "0")
    narrow, wide = simbench(*words), simbench(*words, "--wide")
    assert max(map(len, narrow.out.splitlines())) <= 90
    assert "| worse" in narrow.out
    assert "detectable |" not in narrow.out
    assert narrow.out.splitlines()[-1] == "all columns: --wide"
    assert "detectable |" in wide.out
    assert "--wide" not in wide.out


@pytest.mark.usefixtures("runs")
def test_two_seeds_of_one_method_can_be_compared(simbench: Callable[..., Any], runs: Path) -> None:
    key = only(runs / "digits/loo/random")
    outcome = simbench("compare", str(key / "seed0"), str(key / "seed1"), "--changed", "0")
    assert outcome.code == 0, outcome.err
    assert "random seed 0" in outcome.out
    assert "random seed 1" in outcome.out
    assert "random key" not in outcome.out


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize(
    ("words", "complaint", "code"),
    [
        (["pixels"], "give two runs or methods", USAGE),
        (["pixels", "pixel"], "pixel: no run here", USAGE),
        (["pixels", "pixels"], "a run is given twice", USAGE),
        (["pixels", "hog"], "cannot compare hog with pixels: protocol holdout, not loo", USAGE),
        (["pixels", "pca", "--metric", "mapp"], "unknown metric 'mapp'", USAGE),
        (["pixels", "pca", "--metric", "tied_queries"], "is no contest", USAGE),
        (["pixels", "pca", "--metric", "decode_cosine"], "has no decode_cosine", FAILURE),
    ],
)
def test_what_cannot_be_compared_is_told_in_one_line(
    simbench: Callable[..., Any], words: list[str], complaint: str, code: int
) -> None:
    outcome = simbench("compare", *words)
    assert outcome.code == code, outcome.err
    assert len([line for line in outcome.err.splitlines() if complaint in line]) == 1, outcome.err
    assert outcome.out == ""


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"spec": {"fingerprint": "e" * 64}}, "data eeeeeeeeeeee, not "),
        ({"spec": {"ties": "mean"}}, "ties mean, not pessimistic"),
        ({**NOTHING, "reason": "out of memory"}, "failed: out of memory; run it again"),
    ],
)
def test_runs_of_other_data_or_rules_and_failed_ones_are_refused(
    simbench: Callable[..., Any], runs: Path, changes: dict[str, Any], complaint: str
) -> None:
    change_run(only(runs / "digits/loo/pca") / "seed0", **changes)
    outcome = simbench("compare", "pixels", "pca")
    assert outcome.code != 0
    assert complaint in outcome.err


def test_other_queries_and_missing_values_are_refused(simbench: Callable[..., Any], runs: Path) -> None:
    folder = only(runs / "digits/loo/pca") / "seed0"
    path = folder / "per_query.npz"
    arrays = dict(np.load(path))
    write_beside(folder, path.name, {**arrays, "ids": arrays["ids"][::-1]})
    outcome = simbench("compare", "pixels", "pca")
    assert (outcome.code, "other queries" in outcome.err) == (USAGE, True)
    path.unlink()
    outcome = simbench("compare", "pixels", "pca")
    assert (outcome.code, "cannot read" in outcome.err) == (FAILURE, True)


def test_a_row_is_named_by_its_options_in_brackets(simbench: Callable[..., Any], runs: Path) -> None:
    pixels = load_digits().data[:300]
    for dims in (8, 9):
        write_run(runs, "pca", (pixels - pixels.mean(axis=0))[:, : 4 * dims] + 0.1, options={"embedding_dim": dims})
    words = ("pca[embedding_dim=8]", "pca[embedding_dim=9, protocol=loo]")
    outcome = simbench("compare", "pca", *words, "--json")  # pca: the one with the defaults
    assert outcome.code == 0, outcome.err
    found = [float(side["mean"]) for side in json.loads(outcome.out)["sides"]]
    own = {
        json.loads(path.read_text())["spec"]["options"].get("embedding_dim"): path
        for path in runs.glob("*/*/pca/*/*/run.json")
    }
    assert found == pytest.approx([json.loads(own[dims].read_text())["scores"]["map"] for dims in (None, 8, 9)])


def test_an_unknown_or_ambiguous_row_lists_what_can_be_typed(simbench: Callable[..., Any], runs: Path) -> None:
    pixels = load_digits().data[:300]
    for dims in (8, 9):
        write_run(runs, "pca", pixels, options={"embedding_dim": dims})
    write_run(runs, "pca", pixels, protocol="holdout")
    outcome = simbench("compare", "pixels", "pca[embedding_dim=7]")
    assert (outcome.code, len(outcome.err.strip().splitlines())) == (USAGE, 1)
    assert "pca[embedding_dim=7] is no row; there are: " in outcome.err
    for word in ("'pca[protocol=holdout]'", "'pca[embedding_dim=8]'", "'pca[embedding_dim=9]'", "'pca[protocol=loo]'"):
        assert word in outcome.err
    outcome = simbench("compare", "pixels", "pca")
    assert "pca is 4 rows; there are: " in outcome.err
    assert simbench("compare", "pixels", "pca[protocol=loo]").code == 0
    outcome = simbench("compare", "pixels", "pca[embedding_dim]")
    assert "in brackets stand choices NAME=VALUE" in outcome.err


def write_draws(root: Path, draws: int) -> dict[str, NDArray[Any]]:
    """Write two methods on several draws of new classes; return each draw's mean of map by method."""
    pixels, means = load_digits().data[:300] + 0.1, dict[str, NDArray[Any]]()
    new = replace(DATA, seen_classes=False, collection_digest="c" * 64)
    for method, dims in (("pixels", 64), ("random", 6)):
        found = []
        for draw in range(draws):
            spec: dict[str, Any] = {"fingerprint": f"{draw}" * 64, "data": {"split_seed": draw} if draw else {}}
            vectors = pixels @ np.random.default_rng(draw).standard_normal((64, dims))
            write_run(root, method, vectors, protocol="unseen_loo", **spec)
            folder = root / "digits/unseen_loo" / method / fake_spec(method=method, protocol="unseen_loo", **spec).key
            change_run(folder / "seed0", data=new)
            found.append(json.loads((folder / "seed0/run.json").read_text())["scores"]["map"])
        means[method] = np.array(found)
    return means


def test_several_draws_are_paired_within_each_and_judged_over_draws(
    simbench: Callable[..., Any], tmp_path: Path
) -> None:
    means = write_draws(tmp_path / "runs", 3)
    outcome = simbench("compare", "random", "pixels", "--json")
    assert outcome.code == 0, outcome.err
    side = json.loads(outcome.out)["sides"][1]
    apart = means["pixels"] - means["random"]
    test = stats.ttest_rel(means["pixels"], means["random"])
    low, high = test.confidence_interval(0.95)
    assert side["draws"] == pytest.approx({str(draw): mean for draw, mean in enumerate(means["pixels"])})
    assert side["against"]["difference"] == pytest.approx(apart.mean())
    assert (side["against"]["low"], side["against"]["high"]) == pytest.approx((low, high))
    assert side["against"]["p"] == pytest.approx(test.pvalue)
    text = simbench("compare", "random", "pixels").out
    assert "digits · unseen_loo · 3 draws: 900 queries" in text
    assert f"Draws: 0 {apart[0]:+.4f}, 1 {apart[1]:+.4f}, 2 {apart[2]:+.4f}" in text


def test_one_draw_of_several_is_taken_by_its_split_seed(simbench: Callable[..., Any], tmp_path: Path) -> None:
    write_draws(tmp_path / "runs", 2)
    outcome = simbench("compare", "random[split_seed=1]", "pixels[split_seed=1]", "--changed", "0")
    assert outcome.code == 0, outcome.err
    assert "digits · unseen_loo: 300 queries" in outcome.out
    outcome = simbench("compare", "random[split_seed=1]", "pixels")
    assert outcome.code == USAGE
    assert "random and pixels have 1 draw in common, and an interval over draws needs two" in outcome.err


def write_state(root: Path, names: list[str], vectors: NDArray[Any], fingerprint: str, **spec: Any) -> Path:
    """Write a run on a state of a folder: these digits, by their numbers, each asking all the others."""
    rows = [int(name.partition(".")[0]) for name in names]
    labels = load_digits().target[rows]
    found = evaluate(vectors[rows], labels, vectors[rows], labels, query_ids=names, gallery_ids=names, threads=1)
    result = fake_result(fake_spec(dataset="folder", fingerprint=fingerprint * 64, **spec), scores=found.scores)
    folder = write_fake(root, result)
    ids = np.array(names)
    kept = {"ids": ids, "gallery_ids": ids, "labels": labels, "classes": np.array([str(d) for d in range(10)])}
    write_beside(folder, "per_query.npz", {**kept, **found.per_query})
    return folder


def test_across_pairs_the_queries_of_both_by_id_and_is_no_test(simbench: Callable[..., Any], tmp_path: Path) -> None:
    pixels = load_digits().data + 0.1
    before = [f"{row}.png" for row in range(60)]
    after = [f"{row}.png" for row in [*range(90, 99), *range(10, 60)]]
    old, new = (write_state(tmp_path / "runs", *one) for one in ((before, pixels, "a"), (after, pixels, "b")))
    refused = simbench("compare", str(old), str(new))
    assert refused.code == USAGE
    assert "--across tells what changed for the queries that both were asked" in refused.err
    found = json.loads(simbench("compare", "--across", str(old), str(new), "--json").out)
    assert found["queries"] == found["gallery"] == {"kept": 50, "new": 9, "gone": 10}
    values = [dict(zip(names, per_query(one), strict=True)) for names, one in ((before, old), (after, new))]
    both = [name for name in before if name in after]
    changes = {name: values[1][name] - values[0][name] for name in both}
    assert found["old"] == pytest.approx(np.mean([values[0][name] for name in both]))
    assert found["up"] == sum(change > 0 for change in changes.values())
    assert found["worse"][0]["value"] - found["worse"][0]["reference"] == pytest.approx(min(changes.values()))
    assert found["better"][0]["value"] - found["better"][0]["reference"] == pytest.approx(max(changes.values()))
    told = simbench("compare", "--across", str(old), str(new)).out
    assert "not a fair comparison" in told
    assert not {"verdict", "Holm p", "ci95"} & set(told.split())


def per_query(folder: Path) -> Any:
    with np.load(folder / "per_query.npz") as kept:
        return kept["map"]


def test_across_refuses_what_has_nothing_in_common(simbench: Callable[..., Any], tmp_path: Path) -> None:
    pixels, root = load_digits().data + 0.1, tmp_path / "runs"
    names = [f"{row}.png" for row in range(40)]
    one = write_state(root, names, pixels, "a")
    other = write_state(root, [f"{row}.png" for row in range(50, 90)], pixels, "b")
    same = write_state(root, names, pixels, "a", method="hog")
    protocol = write_state(root, names, pixels, "c", protocol="holdout")
    for words, code, complaint in (
        ((one, other), FAILURE, "have no query in common"),
        ((one, same), USAGE, "both runs are on the same data"),
        ((one, protocol), USAGE, "protocol holdout, not loo"),
        ((one, other, same), USAGE, "--across takes two runs"),
    ):
        refused = simbench("compare", "--across", *map(str, words))
        assert (refused.code, complaint in refused.err) == (code, True), refused.err
