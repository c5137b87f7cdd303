"""A student learns its teacher's vectors, whatever their length; and the command says what it keeps."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from programs import SHORT_EPOCHS, run_simbench

import bench
from bench.runs.artifacts import read_history, read_vectors
from bench.runs.store import RunRecord, all_runs

pytestmark = [pytest.mark.training, pytest.mark.slow]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    """Principal components of digits: quick, and with fewer numbers than a student has."""
    folder = tmp_path_factory.mktemp("taught")
    return bench.run("pca", "digits", protocol="loo", limit=300, runs=str(folder / "runs"), threads=1)


def student(teacher: RunRecord, **options: object) -> RunRecord:
    made = {"teacher": str(teacher.folder / "run.json"), "encoder": "simplecnn", **options}
    runs = str(teacher.folder.parents[4])
    return bench.run("distilled", "digits", protocol="loo", limit=300, epochs=0.5, runs=runs, threads=1, options=made)


def test_a_student_learns_to_point_where_its_teacher_does(teacher: RunRecord) -> None:
    run = student(teacher)
    cosines = [float(row["val_cosine"]) for row in read_history(run)]
    assert cosines[-1] > 0.6
    found, wanted = read_vectors(run)["gallery"], read_vectors(teacher)["gallery"]
    short = wanted.shape[1]
    assert short < found.shape[1] == 128
    assert np.sum(found[:, :short] * wanted, axis=1).mean() == pytest.approx(cosines[-1], abs=0.1)
    assert run.result.uses_labels is False


def test_a_longer_vector_is_brought_to_the_students_length(teacher: RunRecord) -> None:
    run = student(teacher, embedding_dim=8)
    assert read_vectors(run)["gallery"].shape[1] == 8
    assert float(read_history(run)[-1]["val_cosine"]) > 0.6


def test_a_teacher_that_is_none_is_told(teacher: RunRecord) -> None:
    with pytest.raises(bench.UsageError, match=r"teacher must be 'pretrained' or the run\.json of a finished run"):
        bench.run("distilled", "digits", options={"teacher": str(teacher.folder)})


def test_the_command_prints_both_rows_and_what_is_kept(teacher: RunRecord, tmp_path: Path) -> None:
    shutil.copytree(teacher.folder.parents[4], tmp_path / "runs")
    folder = next(record.folder for record in all_runs(tmp_path / "runs") if record.result.method == "pca")
    words = ["distill", str(folder), "--encoder", "simplecnn", "--epochs", "0.1", "--threads", "1", "-q"]
    done = run_simbench(words, tmp_path, code=SHORT_EPOCHS)
    assert done.returncode == 0, done.stderr
    assert "| distilled " in done.stdout
    assert "| pca " in done.stdout
    assert "The student keeps " in done.stdout
    assert f"(0.{done.stdout.split('(0.')[1][:3]} of {teacher.result.scores['map']:.3f})" in done.stdout
    wrong = run_simbench([*words, "--data-root", ".", "-d", "nowhere"], tmp_path)
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
