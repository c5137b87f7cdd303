"""A worker process: tasks come in as lines of JSON, outcomes go out as lines of JSON, until there are no more."""

from __future__ import annotations

import json
import os
import signal
import sys
import warnings

from bench.data.decoding.block import Task, fill_block

READY = b"ready\n"


def main() -> None:
    """Work until standard input ends, which it also does when the process that started this one is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; who started us tells us when to stop
    warnings.simplefilter("ignore")  # Pillow's remarks on odd files; what cannot be decoded is reported as such
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no answer
    answers.write(READY)
    for line in sys.stdin.buffer:
        try:
            answer = fill_block(Task.from_json(json.loads(line))).as_json()
        except OSError as error:
            answer = {"errno": error.errno, "error": error.strerror or str(error)}
        answers.write(json.dumps(answer).encode() + b"\n")
