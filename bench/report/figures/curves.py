"""Training and validation curves, from each run's ``history.csv``."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bench.contract import DataError
from bench.report.figures.style import ACCENT, GRID, MUTED, WARM, Drawn, finish, style
from bench.report.tables.groups import Row, Table
from bench.runs.artifacts import read_history
from bench.runs.store import RunRecord

_LOG = logging.getLogger(__name__)

_ACROSS = 4
_SCORE = "val_map"


@dataclass(frozen=True)
class Curves:
    """A run's epochs in order. phases: each epoch's phase; values: one number an epoch and name, NaN where none."""

    phases: tuple[str, ...]
    values: Mapping[str, tuple[float, ...]]

    @property
    def starts(self) -> list[tuple[int, str]]:
        """The first epoch of each phase, counted from 1."""
        return [(at + 1, phase) for at, phase in enumerate(self.phases) if at == 0 or self.phases[at - 1] != phase]

    def points(self, name: str) -> tuple[list[int], list[float]]:
        """Return the epochs that have a value, and the values."""
        known = [(at + 1, value) for at, value in enumerate(self.values.get(name, ())) if not math.isnan(value)]
        return [at for at, _ in known], [value for _, value in known]


def read_curves(run: RunRecord) -> Curves | None:
    """Read a run's curves; None where it trained nothing, or, with a warning, wrote nothing that can be read."""
    try:
        rows = read_history(run)
    except DataError as error:
        _LOG.warning("left out of the training curves: %s", error)
        return None
    if not rows or "epoch" not in rows[0]:
        return None
    names = [name for name in rows[0] if name.startswith(("train_", "val_"))]
    rows = [row for row in rows if any(row[name] for name in names)] or rows  # a frozen backbone's features are none
    values = {name: tuple(_number(row.get(name)) for row in rows) for name in names}
    return Curves(tuple(str(row.get("phase", "")) for row in rows), values)


def draw_overview(table: Table) -> Drawn | None:
    """Return validation map of every trained method, one panel a method with the others behind it."""
    found = [(row, curves) for row in table.rows if (curves := read_curves(row.first))]
    known = [(row, curves) for row, curves in found if len(curves.points(_SCORE)[0]) > 1]
    if not known:
        return None
    across = min(_ACROSS, len(known))
    down = -(-len(known) // across)
    with style():
        figure = Figure(figsize=(2.3 * across, 1.75 * down), layout="constrained")
        grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
        for axes in grid.flat[len(known) :]:
            axes.set_axis_off()
        for axes, (row, curves) in zip(grid.flat, known, strict=False):
            for _, other in known:
                axes.plot(*other.points(_SCORE), color=GRID, lw=0.9)
            axes.plot(*curves.points(_SCORE), color=ACCENT, lw=1.6)
            axes.set_title(f"{row.name}  {curves.points(_SCORE)[1][-1]:.3f}")
            axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        figure.supxlabel("epoch", fontsize=8.5, color=MUTED)
        names = ", ".join(f"{row.name} {curves.points(_SCORE)[1][-1]:.3f}" for row, curves in known)
        return finish(
            figure,
            f"{table.slug}-validation",
            alt=f"Validation map by epoch on {table.title}. At the end: {names}.",
            caption="map on the validation split after each epoch, all phases in a row; behind each method, in grey, "
            "the others. The number is the last epoch's.",
        )


def draw_curves(row: Row) -> Drawn | None:
    """Return one run's training loss beside its validation scores; None where it trained nothing."""
    curves = read_curves(row.first)
    if curves is None:
        return None
    losses = [name for name in ("train_loss",) if curves.points(name)[0]] or _starting(curves, "train_")[:1]
    scores = [name for name in (_SCORE, "val_accuracy", "val_decode_cosine") if curves.points(name)[0]]
    scores = scores or _starting(curves, "val_")[:1]
    if not losses and not scores:
        return None
    phases = [phase for _, phase in curves.starts]
    begin = f"; a dashed line begins a phase ({', '.join(phases)})" if len(phases) > 1 else ""
    with style():
        figure = Figure(figsize=(5.6, 1.9), layout="constrained")
        left, right = figure.subplots(1, 2)
        _panel(left, curves, losses, "training loss")
        _panel(right, curves, scores, "validation")
        return finish(
            figure,
            f"{row.slug}-curves",
            alt=f"Training loss and validation scores of {row.name} over {len(curves.phases)} epochs.",
            caption=f"{len(curves.phases)} epochs of seed {row.first.result.seed}{begin}.",
        )


def _panel(axes: Axes, curves: Curves, names: Sequence[str], title: str) -> None:
    marker = "o" if len(curves.phases) < 3 else ""
    for name, colour in zip(names, (ACCENT, WARM, MUTED), strict=False):
        label = name.removeprefix("val_").removeprefix("train_").replace("_", " ")
        axes.plot(*curves.points(name), color=colour, lw=1.4, label=label, marker=marker, ms=3)
    for start, _ in curves.starts[1:]:
        axes.axvline(start - 0.5, color=MUTED, lw=0.7, ls=(0, (3, 3)))
    axes.set_title(title)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    if len(names) > 1:
        axes.legend(loc="best", handlelength=1.2)


def _starting(curves: Curves, start: str) -> list[str]:
    return [name for name in curves.values if name.startswith(start) and curves.points(name)[0]]


def _number(text: str | None) -> float:
    try:
        value = float(text or "nan")
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan
