"""Every command of the pages that start from a user's question runs, in order, with stand-ins for what takes long."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from page_commands import FEW, StandIns, blocks, commands, make_home, shortened
from programs import SHORT_EPOCHS, run_simbench

pytestmark = pytest.mark.slow

START = Path(__file__).resolve().parents[1] / "docs" / "start"
DIGITS = {"RUN": "runs/digits/holdout/arcface"}  # a run with enough pictures for a threshold
SHORT: dict[str, StandIns] = {
    "for-engineers": {
        "choose": ({}, "--labels none --threads 1"),  # what it does with labels: tests/cli/test_choose.py
        "search": (DIGITS, ""),
        "threshold": ({**DIGITS, "1e-3": "0.1"}, ""),
        "export RUN -o": ({**DIGITS, "~/pictures": "digits"}, "--threads 1"),
        "export": (DIGITS, ""),
        "serve": ({}, "--help"),
    },
    "for-researchers": {
        "run": ({"fashionmnist": "digits", "0..4": "0,1"}, FEW),
        "leaderboard": ({}, ""),
    },
    "for-students": {
        "run": ({"fashionmnist": "digits"}, FEW),
        "report": ({}, "--no-images"),
        "decode": (DIGITS, "--threads 1"),
        "robustness": ({"RUN": "runs/digits/holdout/pixels"}, "--threads 1"),
    },
}


@pytest.mark.parametrize("page", SHORT)
def test_the_commands_of_a_page_run_in_their_order(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_home(tmp_path, monkeypatch)
    rng = np.random.default_rng(0)
    np.save("v.npy", rng.normal(size=(30, 4)).astype(np.float32))
    np.save("y.npy", np.arange(30) % 3)
    if page == "for-engineers":
        pytest.importorskip("onnxruntime")
        few = ["--phases", "1", "--epochs", "0.005", "--limit", "400", "--threads", "1"]
        done = run_simbench(["run", "-m", "arcface", *few], tmp_path, code=SHORT_EPOCHS)
        assert done.returncode == 0, done.stderr
    for block in blocks((START / f"{page}.md").read_text(encoding="utf-8"), "console"):
        for command in commands(block):
            assert command.startswith("simbench ")
            words = shortened(command, SHORT[page])
            done = run_simbench(words, tmp_path, {"OMP_NUM_THREADS": "1"}, code=SHORT_EPOCHS)
            assert done.returncode == 0, (command, done.stdout, done.stderr)
