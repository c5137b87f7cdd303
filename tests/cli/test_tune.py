"""``simbench tune`` as a program: killed and started again, and without its extra."""

from __future__ import annotations

import csv
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from programs import run_simbench

pytestmark = [pytest.mark.faults, pytest.mark.slow]

pytest.importorskip("optuna")

METHOD = '''
"""A floor that kills its process at some of its fits."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from bench import method, tunable


@method
@dataclass
class Mortal:
    power: float = tunable(3.0, low=0.1, high=4.0, log=True)

    def fit(self, train, validation, run):
        with Path("fits").open("a") as file:
            file.write(f"{self.power} {run.budget.epochs}\\n")
        if Path("fits").read_text().count("\\n") in map(int, os.environ.get("KILL_AT", "").split()):
            os.kill(os.getpid(), signal.SIGKILL)

    def embed(self, pixels):
        return pixels.pow(self.power).flatten(1) + 1e-6
'''


@pytest.fixture
def site(tmp_path: Path) -> Path:
    info = tmp_path / "site" / "mortals-1.0.dist-info"
    info.mkdir(parents=True)
    (info.parent / "mortals.py").write_text(METHOD, encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mortals\nVersion: 1.0\nSummary: Mortal\n")
    (info / "entry_points.txt").write_text("[simbench.methods]\nmortal = mortals\n")
    return info.parent


def simbench(folder: Path, site: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    return run_simbench(words, folder, {"PYTHONPATH": str(site), **env})


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "runs" / "report" / "tuned" / "digits-mortal.csv").open(encoding="utf-8") as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def test_killed_twice_the_same_command_ends_with_the_trials_of_one_that_was_not(tmp_path: Path, site: Path) -> None:
    words = ("tune", "-m", "mortal", "-d", "digits", "--trials", "3", "--epochs", "0.1", "--limit", "100")
    whole = simbench(tmp_path / "whole", site, *words)
    assert whole.returncode == 0, whole.stderr
    broken = tmp_path / "broken"
    for finished in (0, 1):
        done = simbench(broken, site, *words, KILL_AT="1 3")
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1] == "simbench: killed from outside (SIGKILL): method mortal of mortals"
        assert not (broken / "runs" / "report" / "tuned" / "digits.toml").exists()
        assert finished == 0 or len(rows(broken)) == finished
    rest = simbench(broken, site, *words)
    assert rest.returncode == 0, rest.stderr
    assert "1 of 3 trials were finished before" in rest.stderr
    assert rows(broken) == rows(tmp_path / "whole")
    fits = (broken / "fits").read_text().splitlines()
    assert len(fits) == 3 + 2
    assert (fits[0], fits[2]) == (fits[1], fits[3])  # what a kill cut off is tried again
    lines, others = rest.stdout.splitlines(), whole.stdout.splitlines()
    assert len(lines) == len(others)
    assert (lines[0], *lines[2:]) == (others[0], *others[2:])  # the second holds the commit and the date
    # and `simbench run` takes the file that was written
    toml = broken / "runs" / "report" / "tuned" / "digits.toml"
    best = tomllib.loads(toml.read_text(encoding="utf-8"))["methods"]["mortal"]["power"]
    ran = simbench(broken, site, "run", "-m", "mortal", "--limit", "100", "--config", str(toml), "--json")
    assert ran.returncode == 0, ran.stderr
    assert f'"power": {best}' in ran.stdout


def test_without_the_extra_one_line_says_what_to_install(tmp_path: Path, site: Path) -> None:
    (site / "optuna.py").write_text("raise ImportError('no optuna')", encoding="utf-8")
    done = simbench(tmp_path, site, "tune", "-m", "mortal")
    assert done.returncode == 2
    assert done.stderr.strip() == (
        "simbench: simbench tune needs the package optuna: pip install 'simbench-retrieval[tune]'"
    )


@pytest.mark.parametrize("words", [["--help"], ["tune", "--help"]])
def test_help_imports_neither_optuna_nor_torch(words: list[str]) -> None:
    code = (
        "import sys, atexit, bench.cli\n"
        "atexit.register(lambda: print('heavy:', sorted({'optuna', 'torch', 'numpy'} & set(sys.modules))))\n"
        "bench.cli.main()"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code, *words], capture_output=True, text=True, check=False)
    assert "heavy: []" in done.stdout
