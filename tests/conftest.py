"""Shared set-up: our plugin folders must never hide another package, and nothing a test writes may reach the user."""

from __future__ import annotations

import io
import os
import shutil
import signal
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import filelock
import hypothesis
import pytest
from programs import SHORT_EPOCHS, run_simbench, start_server

CHECKOUT = Path(__file__).resolve().parents[1]

# With the checkout on sys.path (python -m pytest adds it), our datasets/ would hide Hugging Face's package.
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != CHECKOUT]

# A shell that runs the tests in its background has them ignore Ctrl-C, and so would the programs that they interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# What a test writes needs not outlive a power cut, and waiting for the disk is much of what writing takes.
os.fsync = lambda fd: None

# Tests run side by side, one process a processor: more threads in each would only get in each other's way. The process
# that starts the others has read this file before them, and they have what it set.
os.environ["OMP_NUM_THREADS"] = "1" if "PYTEST_XDIST_WORKER" in os.environ else os.environ.get("OMP_NUM_THREADS", "2")

# An example's time says how busy the machine is, not whether it is right. The cases that find faults come early.
hypothesis.settings.register_profile("shared machine", deadline=None, max_examples=15)
hypothesis.settings.load_profile("shared machine")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return what ``-n auto`` is: half as many processes again as processors, since each waits now and then."""
    from bench.environment import processors

    return processors() * 3 // 2


def pytest_configure(config: pytest.Config) -> None:
    """Start the server of programs where several processes are to share it."""
    if config.getoption("numprocesses", None):
        start_server()


_NEEDS = {"training": {"digits_run", "three_runs", "digits", "project", "served"}, "browser": {"browser"}}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs trained runs or a browser, by the fixtures that a test asks for; slow files come first."""
    for item in items:
        for marker, fixtures in _NEEDS.items():
            if fixtures & set(getattr(item, "fixturenames", ())):
                item.add_marker(marker)
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)  # first, so that no process is left with one


@pytest.fixture(autouse=True)
def _private_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test has its own cache folder, and none of the user's settings."""
    for name in [name for name in os.environ if name.startswith("SIMBENCH_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SIMBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture(autouse=True)
def _few_threads() -> None:
    """A run sets torch's number of threads for the process: the next test begins with the usual one again."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


@pytest.fixture(autouse=True)
def _short_timing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run times its method for seconds, which is of no use here: a moment is enough to show that it does."""
    costs = sys.modules.get("bench.runs.costs")
    if costs is not None:
        monkeypatch.setattr(costs, "_PACE", 0.02)


@pytest.fixture
def checkout() -> Path:
    """The root of the source tree."""
    return CHECKOUT


@pytest.fixture(scope="session")
def three_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project's folder with the runs of three methods on a part of the digits; to be copied, not written to.

    They are trained once, whatever the number of test processes: whoever needs them first trains them.
    """
    session = tmp_path_factory.getbasetemp()
    folder = (session.parent if "PYTEST_XDIST_WORKER" in os.environ else session) / "three-runs"
    methods = "-m pixels -m autoencoder -m siamese_bce"
    words = f"run {methods} -d digits --protocol loo --limit 160 --epochs 1.1 -o batch_size=16 --threads 1 -q"
    env = {"SIMBENCH_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    with filelock.FileLock(f"{folder}.lock"):
        if not (folder / "runs" / "report" / "leaderboard.md").is_file():
            folder.mkdir(exist_ok=True)
            run_simbench(words.split(), folder, env, timeout=600, code=SHORT_EPOCHS).check_returncode()
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real browser, or the test is left out."""
    api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium on this machine")
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def zipped() -> Callable[[Path, Mapping[str, bytes]], bytes]:
    """Write a zip of these members, and return its bytes."""

    def write(path: Path, members: Mapping[str, bytes]) -> bytes:
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return path.read_bytes()

    return write


@pytest.fixture
def tar_gz() -> Callable[[Path, Mapping[str, bytes]], bytes]:
    """Write a tar.gz of these members, and return its bytes."""

    def write(path: Path, members: Mapping[str, bytes]) -> bytes:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path, "w:gz") as archive:
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        return path.read_bytes()

    return write
