"""A method's line in a figure of curves: its means, and the band of their intervals."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from bench.report.estimates import Estimate
from bench.report.page.drawing import CLASS_COLOURS

_MARKERS = "os^Dv"


def draw_band(
    axes: Axes, x: Sequence[float], scores: Sequence[Estimate], number: int, label: str, *, mark: float
) -> None:
    """Draw one line. number: which of the figure's lines it is, for colour and marker; mark: the markers' size."""
    colour = CLASS_COLOURS[number % len(CLASS_COLOURS)]
    axes.plot(x, [s.mean for s in scores], color=colour, marker=_MARKERS[number % 5], markersize=mark, label=label)
    axes.fill_between(x, [s.low for s in scores], [s.high for s in scores], color=colour, alpha=0.1, lw=0)
