"""Quality against cost: who gives the most for its latency, and for the bytes of its vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.evaluation.indexes.sweep import pareto_front
from bench.report.figures.style import ACCENT, GRID, INK, MUTED, Drawn, finish, log_ticks, style
from bench.report.tables.groups import Row, Table
from bench.report.tables.pooled_latency import POOLED

_LABEL_STEP = 11  # points between two labels' lines
_COSTS = (
    ("latency", POOLED[0], "ms to embed one image (median, logarithmic)", "latency of embedding"),
    ("size", "bytes_per_vector", "bytes a vector takes (logarithmic)", "size of a vector"),
)


def draw_tradeoffs(table: Table, *only: str) -> list[Drawn]:
    """Return the rows' score against ``latency`` and against ``size``; without those that no two rows have.

    only: these of them.
    """
    found = []
    for name, column, label, what in _COSTS:
        if only and name not in only:
            continue
        points = [(row, cost, row.score) for row in table.rows if (cost := row.mean(column))]
        known = [(row, cost, quality) for row, cost, quality in points if not np.isnan(quality)]
        if len(known) > 1:
            found.append(_draw(table, known, f"{table.slug}-{name}", label, what))
    return found


def _draw(table: Table, points: Sequence[tuple[Row, float, float]], slug: str, label: str, what: str) -> Drawn:
    rows = [row for row, _, _ in points]
    costs, qualities = [cost for _, cost, _ in points], [quality for _, _, quality in points]
    on_front = pareto_front(np.column_stack([costs, [-row.merit for row in rows]]))
    front = sorted(np.flatnonzero(on_front).tolist(), key=lambda at: costs[at])
    metric = table.metric
    named = ", ".join(rows[at].name for at in front)
    with style():
        figure = Figure(figsize=(5.6, 3.5))
        axes = figure.add_subplot()
        axes.set_xscale("log")
        _bars(axes, rows, costs, qualities)
        axes.plot(
            [costs[at] for at in front], [qualities[at] for at in front], color=ACCENT, lw=1.2, drawstyle="steps-post"
        )
        colours = [ACCENT if at in front else MUTED for at in range(len(rows))]
        axes.scatter(costs, qualities, c=colours, s=26, zorder=3, linewidths=0)
        _ticks(axes, costs)
        axes.set_xlabel(label)
        axes.set_title(f"{metric.name}, by {what}")
        if metric.sign < 0:
            axes.invert_yaxis()
        _labels(axes, [row.name for row in rows], costs, qualities, set(front))
        return finish(
            figure,
            slug,
            alt=f"{metric.name} against {what} on {table.title}. Nothing cheaper is as good as: {named}.",
            caption=f"Up and left is better. On the line: what nothing as cheap beats ({named}). Bars: 95 % intervals.",
        )


def _bars(axes: Axes, rows: Sequence[Row], costs: Sequence[float], qualities: Sequence[float]) -> None:
    for row, cost, quality in zip(rows, costs, qualities, strict=True):
        ends = row.interval(row.metric.name) or (quality, quality)
        axes.plot([cost, cost], ends, color=MUTED, lw=0.8, alpha=0.55, solid_capstyle="butt")


def _ticks(axes: Axes, costs: Sequence[float]) -> None:
    low, high = min(costs), max(costs)
    axes.set_xlim(low / 1.6, high * max(1.6, (high / low) ** 0.35))  # room for names at the right
    log_ticks(axes, (1, 2, 5) if high / low < 100 else (1,))


def _labels(
    axes: Axes, names: Sequence[str], costs: Sequence[float], qualities: Sequence[float], front: set[int]
) -> None:
    """Name every point at its right, pushed apart where names would lie upon each other."""
    places = axes.transData.transform(np.column_stack([costs, qualities])) * 72 / axes.figure.get_dpi()
    taken: list[tuple[float, float]] = []
    for at in sorted(range(len(names)), key=lambda at: -places[at][1]):
        x, y = places[at]
        line = y
        near = [other for left, other in taken if abs(left - x) < 90]  # a long name's width in points
        while any(abs(line - other) < _LABEL_STEP for other in near):
            line = min(other for other in near if abs(line - other) < _LABEL_STEP) - _LABEL_STEP
        taken.append((x, line))
        axes.annotate(
            names[at],
            (costs[at], qualities[at]),
            xytext=(9, line - y),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=INK if at in front else MUTED,
            arrowprops={"arrowstyle": "-", "color": GRID, "lw": 0.6, "shrinkA": 0, "shrinkB": 3},
        )
