"""Label-budget curves and robustness sweeps: tables and the figures in them, made from run folders alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from bench.files import write_bytes, write_rows
from bench.report.curves.label_curves import draw_labels, label_panels, label_rows, label_text
from bench.report.curves.robustness_curves import (
    draw_robustness,
    robustness_panels,
    robustness_rows,
    robustness_text,
    sweeps_of,
)
from bench.report.figures.style import Drawn
from bench.report.tables.frame import stem
from bench.runs.store import RunRecord

FIGURES = "figures"


def write_curves(records: Sequence[RunRecord], results: Path) -> list[Path]:
    """Write what the runs have to show of both, and return the tables' Markdown files; nothing where there is nothing.

    Writes ``labels.csv`` and ``labels.md``, ``robustness.csv`` and ``robustness.md``, and a figure for each test into
    ``figures/``. Raises DataError where a run's files are missing, SimbenchError where nothing can be written.
    """
    labels, sweeps = label_panels(records), sweeps_of(records)
    panels = robustness_panels(sweeps)
    label_parts = [_Part(one.words, one.test, label_text(one), partial(draw_labels, one)) for one in labels]
    swept_parts = [
        _Part(one.words, one.fingerprint, robustness_text(one), partial(draw_robustness, one)) for one in panels
    ]
    rows = [row for panel in labels for row in label_rows(panel)]
    return [
        *_write("labels", _LABELS, label_parts, rows, results),
        *_write("robustness", _ROBUSTNESS, swept_parts, robustness_rows(sweeps), results),
    ]


class _Part(NamedTuple):
    """What is told of one test: the words of its title, a digest of it, its table, and what draws it under a name."""

    words: Sequence[str]
    digest: str
    text: str
    draw: Callable[[str], Drawn]


def _write(
    name: str, head: str, parts: Sequence[_Part], rows: Sequence[Mapping[str, Any]], results: Path
) -> Iterator[Path]:
    """Write a page with the table and figure of each part, and the rows behind them; yield the page's path."""
    if not parts:
        return
    told, taken = [head], list[str]()
    for part in parts:
        taken.append(stem([name, *part.words], taken, part.digest))
        drawn = part.draw(taken[-1])
        write_bytes(results / FIGURES / f"{drawn.slug}.svg", drawn.svg)
        told += [part.text, f"![{drawn.alt}]({FIGURES}/{drawn.slug}.svg)"]
    write_rows(results / f"{name}.csv", rows)
    path = results / f"{name}.md"
    write_bytes(path, ("\n\n".join(told) + "\n").encode(errors="backslashreplace"))
    yield path


_LABELS = """# Label budgets

Made from the run folders. Each method learnt from so many labelled images a class, validation included, and was asked
the same test. `±` is half the 95 % interval over queries (by class where there are ten or more) and seeds of training;
which images are labelled is one draw, the same for all, and not part of it. Methods that use no labels get the same
images ([label budgets and robustness](../../docs/guides/labels-and-robustness.md))."""

_ROBUSTNESS = """# Robustness

Made from the run folders. The queries are corrupted, each in three severities, and ranked against the run's clean
gallery; nothing was trained for it. Drops are paired, query by query, with the clean queries; a corruption's is the
mean of its severities, the mean drop that of all corruptions. `±` is half the 95 % interval over queries (by class
where there are ten or more) and seeds ([label budgets and robustness](../../docs/guides/labels-and-robustness.md))."""
