"""kill -9 at a moment drawn at random: what was finished stays, and the same command ends as if nothing had been."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
from programs import Program

from tests.faults.readers import TRAINING, scores_in

_LENGTH = 4.0  # seconds of the command, about


def killed(tree: Path, rng: np.random.Generator) -> tuple[str, str, str]:
    """Train a run again, or make the tables, kill that, and repeat it: (what, how it ended, what was said)."""
    before = scores_in(tree, "runs/*/*/*/*/seed*/run.json")
    env = {"SIMBENCH_CACHE": str(tree / "cache"), "OMP_NUM_THREADS": "1"}
    training = bool(rng.integers(4))
    words = [*TRAINING, "-m", "siamese_bce", "--seeds", "0"] if training else ["leaderboard"]
    if training:
        (folder,) = tree.glob("runs/*/*/siamese_bce/*/seed0")
        shutil.rmtree(folder)
    first = Program(words, tree, env)
    time.sleep(float(rng.uniform(0.05, 1)) * (_LENGTH if training else 1.0))
    first.kill()
    first.wait()
    after = scores_in(tree, "runs/*/*/*/*/seed*/run.json")
    lost = {name for name in before if name not in after and not name.startswith("siamese_bce")}
    again = Program(words, tree, env)
    _, told = again.communicate()
    ended = scores_in(tree, "runs/*/*/*/*/seed*/run.json")
    left = list(tree.glob("runs/**/.*.tmp"))
    shutil.rmtree(tree / "runs" / "report", ignore_errors=True)
    what, said = ("run" if training else "leaderboard"), f"{words[0]} killed: {told.strip()[-200:]} {left}"
    if again.returncode != 0 or "Traceback" in told:
        return what, "crashed", said
    if lost:
        return what, "something else lost", said
    return what, "same answer" if ended == before else "another answer, silently", said
