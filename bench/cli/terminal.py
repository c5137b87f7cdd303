"""What the user sees while work goes on: bars and lines on stderr, results on stdout."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


class _Warnings(logging.Handler):
    """Shows what the harness logs as one line each, above the progress bars."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(f"simbench: {record.levelname.lower()}: {record.getMessage()}", file=sys.stderr)


def show_warnings() -> None:
    """Send the warnings that the harness logs to stderr."""
    logging.getLogger("bench").addHandler(_Warnings(logging.WARNING))


class Terminal:
    """Progress bars where stderr is a terminal, log lines unless quiet."""

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet

    def progress(self, items: Iterable[T], *, total: int, what: str) -> Iterable[T]:
        """Wrap an iterable in a bar that goes away when it is done."""
        disable = True if self.quiet else None  # None: only where stderr is a terminal
        return tqdm(items, total=total, desc=what, leave=False, disable=disable, file=sys.stderr, mininterval=0.3)

    def log(self, line: str) -> None:
        if not self.quiet:
            tqdm.write(line, file=sys.stderr)
