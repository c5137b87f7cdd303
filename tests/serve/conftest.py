"""A project of three small runs on scikit-learn's digits, and their search page, served as a user serves it."""

from __future__ import annotations

import io
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from programs import COMMAND, Program, run_simbench


@dataclass(frozen=True)
class Served:
    """A running ``simbench serve``: where it is asked, and its process."""

    address: str
    process: Program


@pytest.fixture(scope="session")
def project(three_runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with finished runs, their leaderboard and their report; ``scratch`` in it is the temporary folder."""
    for needed in ("starlette", "uvicorn", "python_multipart", "httpx"):
        pytest.importorskip(needed)
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(three_runs, folder, dirs_exist_ok=True)
    (folder / "scratch").mkdir()
    run_simbench(["report", "--figures", "-q"], folder, _environment(folder), timeout=600).check_returncode()
    return folder


@pytest.fixture(scope="session")
def start(project: Path) -> Callable[..., Served]:
    """Start ``simbench serve WORDS...`` on a free port, and return when it can be asked."""

    def started(*words: str, before: str = "") -> Served:
        serve = ["serve", "--port", "0", "--threads", "1", *words]
        process = Program(serve, project, _environment(project), code=f"{before}\n{COMMAND}")
        found = re.match(r"search page: (http://\S+)/ ", process.first_line())
        assert found, process.stderr.read_text(encoding="utf-8")
        return Served(found[1], process)

    return started


@pytest.fixture(scope="module")  # not longer: it holds memory that later tests may need
def served(start: Callable[..., Served]) -> Iterator[Served]:
    """One server for a file of tests that only ask it; it must end well and print no traceback."""
    running = start()
    yield running
    running.process.terminate()
    assert running.process.wait(timeout=60) == 0
    assert "Traceback" not in running.process.stderr.read_text(encoding="utf-8")


@pytest.fixture
def client(served: Served) -> Iterator[Any]:
    """An HTTP client of the server."""
    import httpx

    with httpx.Client(base_url=served.address, timeout=60) as opened:
        yield opened


@pytest.fixture
def png() -> Callable[[np.ndarray[Any, Any]], bytes]:
    """Turn uint8 ``(h, w)`` or ``(h, w, 3)`` into a PNG file's bytes."""

    def encoded(pixels: np.ndarray[Any, Any]) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        return buffer.getvalue()

    return encoded


def _environment(project: Path) -> dict[str, str]:
    ours = {"SIMBENCH_CACHE": str(project / "cache"), "TMPDIR": str(project / "scratch"), "OMP_NUM_THREADS": "1"}
    return {**os.environ, **ours, "PYTHONUNBUFFERED": "1"}
