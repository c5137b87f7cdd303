"""The critical-difference diagram: methods on the line of mean ranks, bars over those that cannot be told apart.

Source: Demsar, "Statistical comparisons of classifiers over multiple data sets", JMLR 7, 2006, figure 1.
"""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.report.aggregate.overall import Overall, cliques
from bench.report.aggregate.overall_text import alternative
from bench.report.figures.style import ACCENT, INK, MUTED, Drawn, bare, finish, style

SLUG = "critical-difference"
_STEP = 0.5  # height of a line of text, in the figure's own unit


def draw_overall(found: Overall) -> Drawn:
    """Return the diagram as the page and the folder of tables take it. found: must be comparable."""
    with style():
        caption = "Left is better. A bar joins methods whose mean ranks cannot be told apart at 5 % (Nemenyi)."
        return finish(critical_difference_figure(found), SLUG, alt=alternative(found), caption=caption)


def critical_difference_figure(found: Overall) -> Figure:
    """Return the diagram: best rank at the left, names at both sides, the critical difference above the line."""
    ranks = [one.rank for one in found.ranked]
    count, critical = len(ranks), found.critical or 0.0
    bars = cliques(ranks, critical)
    left = (count + 1) // 2
    depth = 0.35 + 0.28 * len(bars) + _STEP * left
    with style():
        figure = Figure(figsize=(7.2, 0.55 + 0.42 * (depth + 1.2)))
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        bare(axes)
        margin = 0.42 * max(count - 1, 1)
        axes.set_xlim(1 - margin, count + margin)
        axes.set_ylim(-depth - 0.3, 1.4)
        _scale(axes, count, critical)
        for at, (first, last) in enumerate(bars):
            height = -0.25 - 0.28 * at
            ends = [ranks[first] - 0.02 * count / 2, ranks[last] + 0.02 * count / 2]
            axes.plot(ends, [height, height], color=ACCENT, lw=3.2, solid_capstyle="butt")
        below = -0.35 - 0.28 * len(bars)
        for at, one in enumerate(found.ranked):
            line = at if at < left else count - 1 - at
            _name(axes, f"{one.method}  {one.rank:.2f}", one.rank, below - _STEP * line, count, to_left=at < left)
        return figure


def _scale(axes: Axes, count: int, critical: float) -> None:
    axes.plot([1, count], [0, 0], color=INK, lw=1)
    for rank in range(1, count + 1):
        axes.plot([rank, rank], [0, 0.12], color=INK, lw=1)
        axes.text(rank, 0.2, str(rank), ha="center", va="bottom", fontsize=8.5, color=MUTED)
    shown = min(critical, count - 1)
    words = f"critical difference {critical:.2f}"
    if shown < critical:
        words += ", wider than the scale"
    axes.plot([1, 1 + shown], [0.85, 0.85], color=INK, lw=1.6, solid_capstyle="butt")
    for end in (1, 1 + shown):
        axes.plot([end, end], [0.77, 0.93], color=INK, lw=1)
    axes.text(1, 1.0, words, ha="left", va="bottom", fontsize=8.5, color=INK)


def _name(axes: Axes, text: str, rank: float, height: float, count: int, *, to_left: bool) -> None:
    """Write a method's name at a side of the scale, and join it to its rank by a line."""
    side = 1 - 0.05 * max(count - 1, 1) if to_left else count + 0.05 * max(count - 1, 1)
    axes.plot([rank, rank, side], [0, height, height], color=MUTED, lw=0.8)
    gap = -0.015 * count if to_left else 0.015 * count
    axes.text(side + gap, height, text, ha="right" if to_left else "left", va="center", fontsize=9, color=INK)
