"""The command line as a program of its own, in milliseconds: forked from a server that has imported everything before.

A fresh interpreter needs seconds to import torch, and the tests start some fifty programs. What a forked one shares
with a fresh one: its own process, folder, environment, streams and exit code. What must be seen of a fresh one (that
start-up imports nothing heavy, signals, kills) is tested with ``subprocess``.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

_PRELOADED = [
    "bench.cli",
    "torch",
    "torchvision",
    "timm",
    "pandas",
    "sklearn.decomposition",
    "faiss",
    "matplotlib.pyplot",
]
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(_PRELOADED)


def run_simbench(
    words: Sequence[str], cwd: Path, env: Mapping[str, str] | None = None, *, timeout: float = 800
) -> subprocess.CompletedProcess[str]:
    """Run ``simbench WORDS...`` in a folder and return how it ended. env: set beside this process' environment."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        whole = {**os.environ, **(env or {})}
        process = _SERVER.Process(target=_main, args=(list(words), str(cwd), whole, str(out), str(err)))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            raise TimeoutError(f"simbench {' '.join(words)}: not ended after {timeout:g} s")
        return subprocess.CompletedProcess(words, process.exitcode, out.read_text("utf-8"), err.read_text("utf-8"))


def _main(words: list[str], cwd: str, env: dict[str, str], out: str, err: str) -> None:
    for path, stream in ((os.devnull, 0), (out, 1), (err, 2)):
        number = os.open(path, os.O_RDWR | os.O_CREAT)
        os.dup2(number, stream)
        os.close(number)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115 - a program's own streams
    os.environ.clear()
    os.environ.update(env)
    sys.path[:0] = [path for path in env.get("PYTHONPATH", "").split(os.pathsep) if path]
    os.chdir(cwd)
    sys.argv = ["simbench", *words]

    import bench.cli
    import bench.runs.costs

    bench.runs.costs._PACE = 0.1  # seconds of timing are of no use here
    bench.cli.main()
