"""On a Ray cluster: what a worker or a whole machine takes with it when it dies is run once more elsewhere."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.config import load_config
from bench.contract import Workplace
from bench.executors.ray import fitting, run_watched, take_over, wanted_by
from bench.runs.store import all_runs, read_run
from bench.suites.cell import CellProgram
from bench.suites.expansion import expand
from bench.suites.suite import find_suite

pytestmark = pytest.mark.slow

METHOD = '''"""A method that takes its time."""
import os, time
from dataclasses import dataclass
from pathlib import Path

from bench import method


@method
@dataclass
class Slow:
    def fit(self, train, validation, run):
        with Path(os.environ["FITS"]).open("a") as file:
            file.write(f"{os.getpid()} {os.getppid()} {run.seed}\\n")
        time.sleep(3)

    def embed(self, pixels):
        return pixels.flatten(1) + 1e-6
'''
SUITE = "[suite.quick]\nmethods = ['slow']\ndatasets = ['digits']\nprotocols = ['loo']\nlimit = 100\nepochs = 1\n"
PROGRAM = [sys.executable, "-P", "-c", "import bench.cli; bench.cli.main()", "bench", "--threads", "1"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    info = tmp_path / "site" / "slow-1.0.dist-info"
    info.mkdir(parents=True)
    (info.parent / "slow.py").write_text(METHOD, encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: slow\nVersion: 1.0\nSummary: Slow\n")
    (info / "entry_points.txt").write_text("[simbench.methods]\nslow = slow\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))  # also of Ray's own processes, and so of their cells
    monkeypatch.setenv("FITS", str(tmp_path / "fits"))
    return tmp_path


@pytest.fixture
def cluster(folder: Path) -> Iterator[Any]:
    pytest.importorskip("ray")
    Cluster = importlib.import_module("ray.cluster_utils").Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    yield made
    made.shutdown()


def fits(folder: Path) -> list[list[int]]:
    """Process, its parent and the seed of every fit that has begun."""
    try:
        return [[int(word) for word in line.split()] for line in (folder / "fits").read_text().splitlines()]
    except FileNotFoundError:
        return []


def begun(folder: Path, count: int) -> list[list[int]]:
    deadline = time.monotonic() + 180
    while len(fits(folder)) < count:
        assert time.monotonic() < deadline, "no cell began"
        time.sleep(0.05)
    return fits(folder)


@pytest.mark.parametrize("loss", ["worker", "node"])
def test_cells_of_a_lost_worker_or_machine_are_run_once_more(folder: Path, cluster: Any, loss: str) -> None:
    other = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    (folder / "bench.toml").write_text(SUITE + "seeds = [0, 1, 2, 3]\n")
    running = subprocess.Popen(
        [*PROGRAM, "--executor", "ray", "--address", cluster.address],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    first = begun(folder, 2)
    assert running.poll() is None
    if loss == "node":
        cluster.remove_node(other, allow_graceful=False)
    else:
        os.kill(first[0][1], signal.SIGKILL)
    said, _ = running.communicate(timeout=400)
    assert running.returncode == 0, said
    assert said.count("died of a cause outside it") == 1
    records = all_runs(folder / "runs")
    assert sorted(record.result.seed for record in records) == [0, 1, 2, 3]
    assert {record.status for record in records} == {"done"}
    assert sorted(Counter(seed for _, _, seed in fits(folder)).values()) == [1, 1, 1, 2]
    assert not list((folder / "runs").glob(".runner-*"))


def test_a_machine_that_does_not_share_the_tree_returns_the_run_by_value(tmp_path: Path) -> None:
    text = "[suite.a]\nmethods = ['pixels']\ndatasets = ['digits']\nprotocols = ['loo']\nlimit = 100\nepochs = 1\n"
    (tmp_path / "bench.toml").write_text(text, encoding="utf-8")
    config = load_config(tmp_path / "bench.toml")
    cache = tmp_path / "cache"
    (cell,) = expand(find_suite(config, "a"), config, "cpu", progress=lambda items, **_: items, cache=cache).cells
    place = Workplace(tmp_path / "runs", torch.device("cpu"), 1, lambda items, **_: items, print, cache=cache)
    folder = cell.folder(place.root)
    limits = {"seconds": 60.0, "memory": None}

    told = run_watched(
        CellProgram(place, {}).as_json(cell), limits, str(folder), str(tmp_path / "not there"), "checkpoints"
    )
    assert (told["cause"], told["code"]) == ("exit", 0), told["words"]
    assert not place.root.exists()
    take_over(told["files"], folder, "run.json")
    record = read_run(folder)
    assert record is not None
    assert record.status == "done"
    assert {"embeddings.safetensors", "per_query.npz", "cell.log"} <= set(told["files"])


@pytest.mark.parametrize("jobs", [1, 2, 3, 7, 10, 30])
def test_as_many_jobs_as_asked_for_share_a_gpu(jobs: int) -> None:
    wanted = wanted_by(2, "cuda", jobs)
    assert fitting(1.0, wanted["num_gpus"]) == jobs
    assert fitting(4.0, wanted["num_gpus"]) == 4 * jobs
    assert wanted_by(2, "cpu", jobs) == {"num_cpus": 2, "num_gpus": 0}
