"""Commands that call code from outside simbench end with one line that names it, whatever that code does to them."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from programs import COMMAND, Program, run_simbench

METHOD_FILE = '''"""A method that does something odd where the variable ODD says so."""

import os, sys, time
from dataclasses import dataclass

from bench import method, tunable


def act(where):
    if os.environ.get("ODD") == f"{where} ends":
        os._exit(0)
    if os.environ.get("ODD") == f"{where} hangs":
        time.sleep(600)
    if os.environ.get("ODD") == f"{where} crashes":
        os.abort()


act("import")


@method
@dataclass
class Odd:
    power: float = tunable(1.0, low=0.5, high=2.0)

    def fit(self, train, validation, run):
        act("fit")

    def embed(self, pixels):
        act("embed")
        return pixels.pow(self.power).flatten(1) + 1e-6

    def state(self):
        return {}

    def restore(self, state, shape, device):
        act("restore")
'''
DATASET_FILE = '''"""A data set that ends whatever loads it, or raises where the variable ODD says so."""

import os
from dataclasses import dataclass

from bench import dataset


@dataset
@dataclass
class Ending:
    def load(self, place):
        if os.environ.get("ODD") == "load raises":
            raise KeyError("no such column")
        os._exit(0)
'''
SOON = f"import bench.suites.cell; bench.suites.cell.IMPORT_SECONDS = 1.0; {COMMAND}"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only imports are tried in processes")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a method of one's own, ``odd``, a finished run of it, a picture, and a data set, ``ending``."""
    folder = tmp_path_factory.mktemp("outside")
    for name, text in (("odd", METHOD_FILE), ("ending", DATASET_FILE)):
        (folder / "own").mkdir(exist_ok=True)
        (folder / "own" / f"{name}.py").write_text(text, encoding="utf-8")
    (folder / "pictures").mkdir()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(folder / "pictures" / "one.png")
    ran = run_simbench(["run", "-m", "odd", "--limit", "60", "-q", "--methods", "own"], folder)
    assert ran.returncode == 0, ran.stderr
    return folder


WHOSE = "method odd of odd.py"
SEARCH = ["search", "pictures/one.png", "--run", "runs"]


@pytest.mark.parametrize(
    ("words", "does", "last"),
    [
        (["check", "odd"], "import ends", f"cannot import the {WHOSE}: ended without a result (exit code 0)"),
        (["check", "odd"], "import hangs", f"cannot import the {WHOSE}: it took over 1 s"),
        (["check", "odd"], "fit ends", f"ended without a result (exit code 0): {WHOSE}"),
        (["check", "odd"], "fit crashes", f"crashed (SIGABRT): {WHOSE}"),
        (["tune", "-m", "odd", "--trials", "1"], "import ends", f"cannot import the {WHOSE}: ended without a result"),
        (["tune", "-m", "odd", "--trials", "1"], "fit ends", f"ended without a result (exit code 0): {WHOSE}"),
        (SEARCH, "import hangs", f"cannot import the {WHOSE}: it took over 1 s"),
        (SEARCH, "embed ends", f"ended without a result (exit code 0): {WHOSE}"),
        (["embed", "runs", "pictures"], "import ends", f"cannot import the {WHOSE}: ended without a result"),
        (["embed", "runs", "pictures"], "embed ends", f"ended without a result (exit code 0): {WHOSE}"),
        (["serve", "--port", "0", "--no-images"], "restore ends", f"ended without a result (exit code 0): {WHOSE}"),
        (["decode", "--run", "runs"], "restore ends", f"ended without a result (exit code 0): {WHOSE}"),
        (["robustness", "runs"], "embed ends", f"ended without a result (exit code 0): {WHOSE}"),
        (["list", "methods", "-v"], "import ends", f"cannot import the {WHOSE}: ended without a result (exit code 0)"),
    ],
    ids=lambda value: " ".join(value[:1]) if isinstance(value, list) else value.partition(":")[0],
)
def test_method_code_that_ends_or_hangs_a_command_is_one_line(
    words: list[str], does: str, last: str, place: Path
) -> None:
    env = {"ODD": does, "SIMBENCH_METHODS": "own", "SIMBENCH_CACHE": str(place / "cache")}
    ended = run_simbench(words, place, env, code=SOON, timeout=60)
    assert ended.returncode == 1, ended.stderr
    told = [line for line in ended.stderr.splitlines() if line.startswith("simbench: ")]
    assert len(told) == 1
    assert last in told[0]
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("words", [["check", "ending"], ["run", "-m", "pixels", "-d", "ending", "-q"]], ids=" ".join)
def test_a_data_set_that_ends_the_command_is_named(words: list[str], place: Path) -> None:
    ended = run_simbench([*words, "--datasets", "own"], place)
    assert ended.returncode == 1
    assert ended.stderr.splitlines() == ["simbench: ended without a result (exit code 0): data set ending of ending.py"]


def test_a_data_set_that_raises_is_no_fault_of_simbench(place: Path) -> None:
    ended = run_simbench(["check", "ending", "--datasets", "own"], place, {"ODD": "load raises"})
    assert ended.returncode == 1
    assert ended.stderr.splitlines() == ["simbench: data set ending of ending.py: KeyError: 'no such column'"]


def test_signals_reach_a_command_that_calls_code_from_outside_and_leave_no_process(place: Path) -> None:
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)):
        program = Program(["check", "odd"], place, {"ODD": "fit hangs", "SIMBENCH_METHODS": "own"})
        program.first_line()
        (child,) = Path(f"/proc/{program.pid}/task/{program.pid}/children").read_text().split()
        program.send_signal(number)
        assert program.wait(30) == code
        deadline = time.monotonic() + 5
        while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not Path(f"/proc/{child}").exists()
