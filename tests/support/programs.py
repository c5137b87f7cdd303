"""The command line as a program of its own, in milliseconds: forked from a server that has imported everything before.

A fresh interpreter needs seconds to import torch, and the tests start some eighty programs. What a forked one shares
with a fresh one: its own process, folder, environment, streams, signals and exit code. What must be seen of a fresh one
(that start-up imports nothing heavy) is tested with ``subprocess``.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
_OURS = (path.relative_to(CHECKOUT).with_suffix("") for path in sorted(CHECKOUT.glob("bench/*/**/*.py")))
_PRELOADED = [
    "torch._dynamo",
    "torchvision",
    "timm",
    "pandas",
    "scipy.stats",
    "sklearn.decomposition",
    "faiss",
    "matplotlib.pyplot",
    *(".".join(path.parts) for path in _OURS if "serve" not in path.parts),  # a test takes its packages away
]
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(_PRELOADED)
COMMAND = "import bench.cli; bench.cli.main()"
# The same where training must only take place: 20 batches an epoch instead of 200 where a pass is shorter.
SHORT_EPOCHS = f"import bench.training.batches; bench.training.batches._SHORTEST_EPOCH = 20; {COMMAND}"


class Program:
    """``simbench WORDS...`` in a folder while it runs: of ``subprocess.Popen`` what the tests use.

    env: set beside this process' environment. code: what runs in place of the command, with WORDS as its arguments.
    stdout, stderr: the files with what it has written so far.
    """

    def __init__(
        self, words: Sequence[str], cwd: Path, env: Mapping[str, str] | None = None, *, code: str = COMMAND
    ) -> None:
        self._words, self._folder = words, tempfile.TemporaryDirectory()
        self.stdout, self.stderr = Path(self._folder.name, "out"), Path(self._folder.name, "err")
        whole = {**os.environ, **(env or {})}
        self._process = _SERVER.Process(target=_main, args=(code, list(words), str(cwd), whole, self._folder.name))
        self._process.start()
        self.pid: int = self._process.pid or 0

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        """Return the exit code, the negative signal where one killed it, or None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float = 800) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            self._process.kill()
            raise TimeoutError(f"simbench {' '.join(self._words)}: not ended after {timeout:g} s")
        return self._process.exitcode

    def communicate(self, timeout: float = 800) -> tuple[str, str]:
        """Wait until it has ended, and return what it has written to stdout and to stderr."""
        self.wait(timeout)
        return self.stdout.read_text("utf-8"), self.stderr.read_text("utf-8")

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def first_line(self, timeout: float = 200) -> str:
        """Wait for the first line on stdout and return it; what there is where the program ends before."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            ended = self.poll() is not None  # asked before the file is read, so that nothing comes in between
            if self.stdout.exists() and "\n" in (text := self.stdout.read_text("utf-8")):
                return text.partition("\n")[0] + "\n"
            if ended:
                break
            time.sleep(0.01)
        return self.stdout.read_text("utf-8")


def run_simbench(
    words: Sequence[str], cwd: Path, env: Mapping[str, str] | None = None, *, timeout: float = 800, code: str = COMMAND
) -> subprocess.CompletedProcess[str]:
    """Run ``simbench WORDS...`` in a folder and return how it ended; arguments as `Program` has them."""
    process = Program(words, cwd, env, code=code)
    out, err = process.communicate(timeout)
    return subprocess.CompletedProcess(words, process.poll() or 0, out, err)


def _main(code: str, words: list[str], cwd: str, env: dict[str, str], streams: str) -> None:
    for path, stream in ((os.devnull, 0), (f"{streams}/out", 1), (f"{streams}/err", 2)):
        number = os.open(path, os.O_RDWR | os.O_CREAT)
        os.dup2(number, stream)
        os.close(number)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w", 1), open(2, "w", 1)  # noqa: SIM115 - its own streams
    os.environ.clear()
    os.environ.update(env)
    sys.path[:0] = [path for path in env.get("PYTHONPATH", "").split(os.pathsep) if path]
    os.chdir(cwd)
    sys.argv = ["simbench", *words]

    import bench.runs.costs

    bench.runs.costs._PACE = 0.02  # seconds of timing are of no use here
    exec(code, {"__name__": "program"})
