"""What the user sees: bars and lines on stderr while work goes on, tables no wider than the terminal on stdout."""

from __future__ import annotations

import logging
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, TypeVar

import click
from tqdm import tqdm

from bench.config import duration
from bench.environment import cache_folder

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from bench.contract import Workplace
    from bench.suites.cost_model import Prediction
    from bench.suites.expansion import SuiteCell
    from bench.suites.runner import Reporter, SuiteProgress

T = TypeVar("T")

NARROW = 100  # characters: up to here the leaderboard has its seven columns and no more
HEADING = 17  # characters before a sentence
_KEPT = 7  # columns that a table keeps while its widest names can be cut
_NAME = 12  # characters that such a name keeps


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

    def workplace(self, root: Path | str, device: torch.device, threads: int, **choices: bool) -> Workplace:
        """Return where runs are made, which tells this terminal how it goes on. choices: force, debug, tensorboard."""
        from bench.contract import Workplace

        return Workplace(Path(root), device, threads, self.progress, self.log, cache=cache_folder(), **choices)


def terminal_width() -> int:
    """Return the characters of a line: of the terminal, or COLUMNS; where there is neither, 100."""
    return shutil.get_terminal_size((NARROW, 24)).columns


def leaderboard_text(frame: pd.DataFrame, overall: str = "", *, wide: bool, columns: Sequence[str] = ()) -> str:
    """Return the tables of some runs for stdout.

    overall: what is said of all of them, Markdown; wide: every column; columns: these, by name.
    """
    from bench.report.tables.leaderboard import brief_tables, tables

    board = tables(frame, columns) if wide or columns else brief_tables(frame, more=terminal_width() > NARROW)
    text = "\n\n".join(part for part in (overall, board) if part)
    return text if wide else fitted(text, terminal_width())


def show(text: str, *, wide: bool) -> None:
    """Print Markdown, its tables cut to the terminal unless wide, and say how to see the columns that were cut."""
    narrow = text if wide else fitted(text, terminal_width())
    click.echo(narrow if narrow.count("|") == text.count("|") else f"{narrow}\n\nall columns: --wide")


def fitted(text: str, width: int) -> str:
    """Return Markdown for a terminal: tables cut to its width, prose wrapped, pictures left out."""
    parts: list[str] = []
    for is_table, lines in groupby(text.splitlines(), key=lambda line: line.startswith("|")):
        if is_table:
            parts += _cut(list(lines), width)
            continue
        for line in lines:
            indent = "  " if line.startswith("- ") else ""
            wrapped = textwrap.wrap(
                line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
            )
            parts += [] if line.startswith("![") else wrapped or [""]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(parts))


def _cut(lines: Sequence[str], width: int) -> list[str]:
    """Return a table without its last columns, and with its widest left column cut, as far as the width asks for it."""
    rows = [line.strip("|").split("|") for line in lines]
    if len({len(row) for row in rows}) > 1:  # a name has a bar in it
        return list(lines)
    columns = [list(column) for column in zip(*rows, strict=True)]
    if _width(columns) > width:
        columns = [_tight(column) for column in columns]
    while _width(columns) > width and len(columns) > _KEPT:
        columns.pop()
    left = [column for column in columns if column[1].startswith(":")]
    over = _width(columns) - width
    if over > 0 and left:
        widest = max(left, key=lambda column: len(column[0]))
        kept = max(_NAME, len(widest[0]) - 2 - over)
        widest[:] = [_shortened(cell, kept) for cell in widest]
    while _width(columns) > width and len(columns) > 2:
        columns.pop()
    return [f"|{'|'.join(row)}|" for row in zip(*columns, strict=True)]


def _tight(column: list[str]) -> list[str]:
    """Return a right column with one space before its longest cell."""
    if column[1].startswith(":"):
        return column
    spare = min(len(cell) - len(cell.lstrip()) for at, cell in enumerate(column) if at != 1) - 1
    return [cell[spare:] for cell in column]


def _width(columns: Sequence[Sequence[str]]) -> int:
    return sum(len(column[0]) + 1 for column in columns) + 1


def _shortened(cell: str, kept: int) -> str:
    """Return a cell of a left column in so many characters between its spaces; the second line's dashes likewise."""
    if cell.startswith(":"):
        return cell[: kept + 2]
    text = cell.strip()
    return f" {text if len(text) <= kept else f'{text[: kept - 1]}…':{kept}} "


_CLEAR = "\r\x1b[K"


def headed(told: Sequence[tuple[str, str]], table: str, typed: Sequence[tuple[str, str]]) -> str:
    """Return sentences and what to type under their headings, a table between them."""
    lines = [f"{heading:{HEADING}}{line}" for heading, line in typed]
    return "\n".join([*(indented(*one) for one in told), "", fitted(table, terminal_width()), "", *lines])


def indented(heading: str, text: str) -> str:
    """Return a sentence under its heading, wrapped beside it."""
    lines = textwrap.wrap(text, max(40, terminal_width() - HEADING), break_long_words=False, break_on_hyphens=False)
    return "\n".join(f"{heading if at == 0 else '':{HEADING}}{line}" for at, line in enumerate(lines))


class StatusLine:
    """Tells events on stderr, and, where that is a terminal, keeps a line below them with what runs and what is left.

    expected: what is known of each cell's time, by its folder under ``root``; slots: cells that run at once; shown:
    whether there is such a line.
    """

    def __init__(self, root: Path, expected: Mapping[Path, Prediction], slots: int, *, quiet: bool) -> None:
        self._root, self._expected, self._slots, self._quiet = root, expected, slots, quiet
        self.shown = not quiet and sys.stderr.isatty()

    def tell(self, line: str) -> None:
        if not self._quiet:
            click.echo(f"{_CLEAR if self.shown else ''}{line}", err=True)

    def show(self, progress: SuiteProgress) -> None:
        if self.shown:
            self.write(self.words(progress))

    def write(self, words: str) -> None:
        """Put words in the line, where there is one."""
        if self.shown:
            click.echo(f"{_CLEAR}{words[: shutil.get_terminal_size().columns - 1]}", err=True, nl=False)

    def close(self) -> None:
        if self.shown:
            click.echo(_CLEAR, err=True, nl=False)

    def words(self, progress: SuiteProgress) -> str:
        """Return the line: cells done, failed, running, left, the time left, and what the first one running says."""
        done = sum(outcome.done for outcome in progress.outcomes)
        failed = len(progress.outcomes) - done
        parts = [f"{done} done", *([f"{failed} failed"] if failed else []), f"{len(progress.running)} running"]
        left = f"{len(progress.waiting)} left"
        if progress.elsewhere:
            left += f" ({progress.elsewhere} with another runner)"
        seconds = self._seconds_left(progress)
        parts += [left, *([f"about {duration(seconds)}"] if seconds is not None else [])]
        running = [f"{cell}, {duration(spent)}: {line}" for cell, spent, line in progress.running]
        return " | ".join([", ".join(parts), *running])

    def _seconds_left(self, progress: SuiteProgress) -> float | None:
        """Return the time left, or None before there is anything to go by."""
        left = 0.0
        running = [(cell, spent) for cell, spent, _ in progress.running]
        for cell, spent in [*running, *((cell, 0.0) for cell in progress.waiting)]:
            whole = self._whole(cell, progress)
            if whole is None:
                return None
            left += max(0.0, whole - spent)
        return left / max(1, min(self._slots, len(progress.running) + len(progress.waiting)))

    def _whole(self, cell: SuiteCell, progress: SuiteProgress) -> float | None:
        """Return the seconds of a cell: as predicted, else as the likest cells have taken that are done."""
        known = self._expected.get(cell.folder(self._root))
        if known is not None and known.known:
            return known.seconds
        timed = [outcome for outcome in progress.outcomes if outcome.seconds and outcome.done]
        same_data = [o for o in timed if o.cell.spec.dataset == cell.spec.dataset]
        same_method = [o for o in same_data if o.cell.spec.method == cell.spec.method]
        likest = same_method or same_data or timed
        return fmean(outcome.seconds for outcome in likest) if likest else None


class BudgetBoard:
    """Says what is under way, how long it has taken of what is expected, and how much of the budget is left."""

    def __init__(self, line: StatusLine, left: Callable[[], float]) -> None:
        self._line, self._left = line, left

    def watch(self, what: str, expected: float) -> Reporter:
        """Return who is told of one run. expected: its seconds, 0 where nobody knows."""
        from bench.suites.runner import Reporter

        of = f" of about {duration(expected)}" if expected else ""
        if not self._line.shown and of:
            self._line.tell(f"{what}: about {duration(expected)}; {self._budget()}")

        def show(progress: SuiteProgress) -> None:
            spent, said = next(((spent, said) for _, spent, said in progress.running), (0.0, ""))
            self._line.write(f"{what}: {duration(spent)}{of}, {self._budget()} | {said}")

        return Reporter(show, self._line.tell)

    def _budget(self) -> str:
        return f"{duration(max(0.0, self._left()))} left of the budget"
