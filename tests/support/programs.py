"""The command line as a program of its own, in milliseconds: forked from a server that has imported everything before.

A fresh interpreter needs seconds to import torch, and the tests start some eighty programs. What a forked one shares
with a fresh one: its own process, folder, environment, streams, signals and exit code. What must be seen of a fresh one
(that start-up imports nothing heavy) is tested with ``subprocess``.

The server is this file run as a program. All processes of a test session share one: importing everything takes ten
seconds of a processor.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import multiprocessing
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Client, Connection
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
_ADDRESS = "TEST_PROGRAMS_SERVER"  # environment variable: the socket of the session's server
_Asked = tuple[str, list[str], str, dict[str, str], str]  # code, its arguments, folder, environment, where streams go
_started: list[subprocess.Popen[bytes]] = []  # the server, whose standard input stays open as long as this process
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
        start_server()
        self._server = Client(os.environ[_ADDRESS])
        self._server.send((code, list(words), str(cwd), whole, self._folder.name))
        self.pid: int = self._server.recv()
        self._code: int | None = None

    @property
    def returncode(self) -> int | None:
        return self.poll()

    def poll(self) -> int | None:
        """Return the exit code, the negative signal where one killed it, or None while it runs."""
        return self._ended_within(0)

    def wait(self, timeout: float = 800) -> int:
        code = self._ended_within(timeout)
        if code is None:
            self.kill()
            raise TimeoutError(f"simbench {' '.join(self._words)}: not ended after {timeout:g} s")
        return code

    def _ended_within(self, timeout: float) -> int | None:
        if self._code is None and self._server.poll(timeout):
            self._code = self._server.recv()
            self._server.close()
        return self._code

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


def start_server() -> None:
    """Start the server of this process and of all that it starts from now on, unless there is one; it ends with it."""
    if _ADDRESS in os.environ:
        return
    address = os.path.join(tempfile.mkdtemp(prefix="programs-"), "socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(100)  # who asks while it still imports waits here
        words = [sys.executable, __file__, str(listener.fileno())]
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        _started.append(subprocess.Popen(words, env=env, stdin=subprocess.PIPE, pass_fds=[listener.fileno()]))
    os.environ[_ADDRESS] = address


def _serve(listener: socket.socket) -> None:
    """Fork a program for everybody who asks, until standard input is closed: whoever started the server has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.path.insert(0, str(Path(__file__).parent))
    for name in _PRELOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()
    while sys.stdin not in (ready := select.select([listener, sys.stdin], [], [], 1)[0]):
        if ready:
            asker = listener.accept()[0]
            if os.fork() == 0:
                listener.close()
                _look_after(Connection(asker.detach()))
                os._exit(0)
            asker.close()
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
    shutil.rmtree(Path(listener.getsockname()).parent)


def _look_after(asker: Connection) -> None:
    """Fork the program that is asked for, and send its process number and, when it has ended, its exit code."""
    program = multiprocessing.get_context("fork").Process(target=_main, args=(asker, asker.recv()))
    program.start()
    asker.send(program.pid)
    program.join()
    with contextlib.suppress(BrokenPipeError):  # a test that has failed waits for nothing
        asker.send(program.exitcode)


def _main(asker: Connection, asked: _Asked) -> None:
    code, words, cwd, env, streams = asked
    asker.close()
    signal.signal(signal.SIGINT, signal.default_int_handler)
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
    os.fsync = lambda fd: None  # and no test cuts the power
    exec(code, {"__name__": "program"})


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
