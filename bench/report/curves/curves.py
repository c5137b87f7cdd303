"""Label-budget curves and robustness sweeps: tables and the figures in them, made from run folders alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.files import write_bytes, write_rows
from bench.report.curves.label_curves import draw_labels, label_panels, label_rows, label_text
from bench.report.curves.robustness_curves import draw_robustness, robustness_panels, robustness_rows, robustness_text
from bench.report.figures.style import Drawn
from bench.report.tables.frame import stem
from bench.report.tables.wording import choices_in_words
from bench.runs.store import RunRecord

FIGURES = "figures"


def write_curves(records: Sequence[RunRecord], results: Path) -> list[Path]:
    """Write what the runs have to show of both, and return the tables' Markdown files; nothing where there is nothing.

    Writes ``labels.csv`` and ``labels.md``, ``robustness.csv`` and ``robustness.md``, and a figure for each test into
    ``figures/``. Raises DataError where a run's files are missing, SimbenchError where nothing can be
    written.
    """
    return [*_write_labels(records, results), *_write_robustness(records, results)]


def _write_labels(records: Sequence[RunRecord], results: Path) -> list[Path]:
    panels = label_panels(records)
    if not panels:
        return []
    parts, taken = [_LABELS], list[str]()
    for panel in panels:
        words = ["labels", panel.dataset, panel.protocol, *choices_in_words(panel.data)]
        taken.append(stem(words, taken, panel.test))
        parts.append(_with_figure(label_text(panel), draw_labels(panel, taken[-1]), results))
    write_rows(results / "labels.csv", [row for panel in panels for row in label_rows(panel)])
    return [_write_text(results / "labels.md", parts)]


def _write_robustness(records: Sequence[RunRecord], results: Path) -> list[Path]:
    panels = robustness_panels(records)
    if not panels:
        return []
    parts, taken = [_ROBUSTNESS], list[str]()
    for panel in panels:
        words = ["robustness", panel.dataset, panel.protocol, *choices_in_words(panel.data)]
        taken.append(stem(words, taken, panel.fingerprint))
        parts.append(_with_figure(robustness_text(panel), draw_robustness(panel, taken[-1]), results))
    write_rows(results / "robustness.csv", robustness_rows(records))
    return [_write_text(results / "robustness.md", parts)]


def _with_figure(text: str, drawn: Drawn, results: Path) -> str:
    """Write a figure, and return its table with the figure behind it."""
    write_bytes(results / FIGURES / f"{drawn.slug}.svg", drawn.svg)
    return f"{text}\n\n![{drawn.alt}]({FIGURES}/{drawn.slug}.svg)"


def _write_text(path: Path, parts: Sequence[str]) -> Path:
    write_bytes(path, ("\n\n".join(parts) + "\n").encode())
    return path


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
