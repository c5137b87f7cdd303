"""A run that is another one's copy is told, runs that must agree are not; and every run has controls and thresholds."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from fake_runs import fake_result, write_beside, write_fake

from bench.config import load_config
from bench.contract import Digests, RunSpec, Workplace
from bench.files import packed_rows
from bench.runs.run_plan import load_collection, plan_cells, run_cells
from bench.runs.sanity_checks import alarms, digests
from bench.runs.store import RunRecord, all_runs, write_run

T = TypeVar("T")


def record(
    method: str = "triplet", seed: int = 0, vectors: str = "v", scores: str | None = "s", **spec: Any
) -> RunRecord:
    made = RunSpec(dataset="digits", protocol="loo", method=method, **{"fingerprint": "f", **spec})
    result = fake_result(made, seed=seed, digests=Digests(vectors, scores), trained=method != "pixels")
    return RunRecord(Path(method) / made.key / f"seed{seed}", result)


def test_runs_with_the_same_vectors_are_told() -> None:
    first = record()
    for other in (record("supcon"), record(seed=1), record(options={"margin": 0.5}), record(fingerprint="g")):
        told = alarms([first, other, record("hog", vectors="w", scores="t")])
        assert set(told) == {first.folder, other.folder}
        run = other.result
        assert told[first.folder][0] == (
            f"copied run: the same vectors as {run.method} {run.key} seed {run.seed} (digits, loo)"
        )
        assert "the same scores for every query as triplet" in told[other.folder][1]


def test_the_same_scores_alone_are_told() -> None:
    told = alarms([record(), record("supcon", vectors="w")])
    assert [len(lines) for lines in told.values()] == [1, 1]


def test_runs_that_must_agree_and_runs_without_digests_raise_none() -> None:
    assert alarms([record(), record(ks=(1,)), record(ties="mean")]) == {}
    assert alarms([record("pixels"), record("pixels", seed=1), record("pixels", fingerprint="g")]) == {}
    assert alarms([record(), record("supcon", vectors="w", scores="t")]) == {}
    assert alarms([record(scores=None), record("supcon", vectors="w", scores=None)]) == {}
    old = record("hog")
    assert alarms([record(), RunRecord(old.folder, replace(old.result, digests=None))]) == {}


def test_what_learns_in_closed_form_is_the_same_for_every_seed_of_its_data_and_raises_no_alarm(tmp_path: Path) -> None:
    def run(seed: int, step: int, fingerprint: str = "f") -> RunRecord:
        spec = RunSpec(dataset="digits", protocol="loo", method="lda", fingerprint=fingerprint)
        folder = write_fake(tmp_path / f"{step}", fake_result(spec, seed=seed, digests=Digests("v", "s"), trained=True))
        write_beside(folder, "history.csv", packed_rows([{"phase": "0-features", "step": step, "seconds": 1.0}]))
        (found,) = (one for one in all_runs(tmp_path / f"{step}") if one.folder == folder)
        return found

    assert alarms([run(0, 0), run(1, 0)]) == {}
    assert len(alarms([run(0, 0), run(1, 0, fingerprint="g")])) == 2
    assert len(alarms([run(0, 9), run(1, 9)])) == 2


def test_digests_are_of_every_bit_and_perfect_scores_have_none() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((50, 4)).astype(np.float32)
    scores = {"map": rng.random(50), "mean_rank": rng.random(50)}
    first = digests(vectors, vectors, scores)
    changed = vectors.copy()
    changed[3, 1] = np.nextafter(changed[3, 1], np.float32(9))
    assert digests(changed, changed, scores).vectors != first.vectors
    assert digests(changed, changed, scores).per_query == first.per_query
    assert digests(vectors, vectors.copy(), scores).vectors != first.vectors
    assert digests(vectors, vectors, {"map": np.ones(50), "mean_rank": np.ones(50)}).per_query is None


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., list[RunRecord]]:
    """Run methods on scikit-learn's digits, leave-one-out; ``train_is_test``: with the training images as the test."""

    def quiet(items: Iterable[T], *, total: int, what: str) -> Iterable[T]:
        del total, what
        return items

    def run(*methods: str, train_is_test: bool = False) -> list[RunRecord]:
        config = load_config(None, overrides=(), flags={"protocol": "loo", "limit": 400})
        digits = load_collection("digits", config, quiet, tmp_path / "cache")
        if train_is_test:
            digits = replace(digits, test=digits.train)
        cells = plan_cells(methods, {"digits": digits}, config, (), "cpu")
        place = Workplace(tmp_path / "runs", torch.device("cpu"), 1, quiet, lambda _: None)
        return list(run_cells(cells, place))

    return run


def test_a_run_keeps_its_controls_its_thresholds_and_its_digests(made: Callable[..., list[RunRecord]]) -> None:
    (run,) = made("pixels")
    assert run.status == "done", run.result.reason
    named = {one.name: one for one in run.result.controls}
    assert all(one.passed for one in named.values())
    assert {"shuffled_labels", "random_vectors", "train_is_test", "hubness"} <= set(named)
    assert run.result.thresholds is not None
    assert run.result.thresholds.validation.images == run.result.data.counts["validation"]
    assert run.result.thresholds.test.points
    assert run.result.trained is False
    assert run.result.flags == ()


def test_a_copied_folder_under_another_name_is_told(made: Callable[..., list[RunRecord]], tmp_path: Path) -> None:
    pixels, hog = made("pixels", "hog")
    assert alarms(all_runs(tmp_path / "runs")) == {}
    shutil.rmtree(hog.folder)
    shutil.copytree(pixels.folder, hog.folder)
    write_run(hog.folder, replace(pixels.result, spec=hog.result.spec, key=hog.result.key))
    told = alarms(all_runs(tmp_path / "runs"))
    assert set(told) == {pixels.folder, hog.folder}
    assert all("the same vectors" in lines[0] for lines in told.values())


def test_a_test_part_that_was_learnt_from_is_a_flag_of_the_run(made: Callable[..., list[RunRecord]]) -> None:
    (run,) = made("pixels", train_is_test=True)
    (flag,) = run.result.flags
    assert flag.startswith("control failed: train_is_test ")
    named = {one.name: one for one in run.result.controls}
    assert named["train_is_test"].value > 0.5
