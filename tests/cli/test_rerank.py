"""``simbench rerank`` on a finished run of digits."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from programs import run_simbench


def simbench(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return run_simbench(words, cwd)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("rerank")
    done = simbench("run", "-m", "pixels", "-d", "digits", "--limit", "400", "--threads", "1", cwd=made)
    assert done.returncode == 0, done.stderr
    return made


def test_each_chain_is_compared_with_no_reranking(folder: Path) -> None:
    run = str(next((folder / "runs").rglob("seed0")))
    done = simbench("rerank", run, "-s", "aqe", "-s", "dba,aqe", "-s", "k-reciprocal", "-k", "5", cwd=folder)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["none", "aqe", "dba,aqe", "k-reciprocal"]
    assert "map@5 gained" in lines[0]


def test_an_unknown_stage_is_a_usage_error_with_the_nearest_name(folder: Path) -> None:
    run = str(next((folder / "runs").rglob("seed0")))
    done = simbench("rerank", run, "-s", "aqee", cwd=folder)
    assert done.returncode == 2
    assert "unknown re-ranking 'aqee'" in done.stderr
    assert "aqe" in done.stderr
    assert "Traceback" not in done.stderr
