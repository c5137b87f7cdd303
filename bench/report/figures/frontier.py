"""What approximate search keeps of a run's quality, where ``simbench index`` has measured it."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from bench.report.figures.style import CLASS_COLOURS, INK, MUTED, Drawn, finish, style
from bench.report.tables.groups import Row

_BELOW = 0.1  # how far below the best the figure reaches


def draw_frontier(row: Row) -> Drawn | None:
    """Return label map@k against latency and bytes of every index that was tried, or None if none was."""
    try:
        with (row.first.folder / "index" / "frontier.csv").open(encoding="utf-8", newline="") as file:
            points = list(csv.DictReader(file))
    except FileNotFoundError:
        return None
    if not points:
        return None
    quality = next(name for name in points[0] if name.startswith("map@"))
    best = max(float(one[quality]) for one in points)
    shown = [one for one in points if float(one[quality]) >= best - _BELOW]
    families = list(dict.fromkeys(one["family"] for one in points))
    with style():
        figure = Figure(figsize=(8.6, 3.4), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        for axes, cost, label in (
            (left, "cpu_p95_ms", "ms of a processor for one query (95th percentile, logarithmic)"),
            (right, "bytes_per_image", "bytes an image takes in the index (logarithmic)"),
        ):
            _panel(axes, shown, cost, quality, families)
            axes.set_xlabel(label)
        left.set_title(f"{quality} of labels, by index and dimension")
        left.set_ylabel(quality)
        handles = [left.plot([], [], "o", ms=4, color=_colour(name, families))[0] for name in families]
        figure.legend(handles, families, loc="outside right upper")
        exact = next((one for one in points if one["family"] == "flat" and one["reduction"] == "full"), points[0])
        front = [one for one in shown if one["front"] == "True"]
        small = min(
            (one for one in front if float(one[quality]) >= float(exact[quality]) - 0.005),
            key=lambda one: float(one["bytes_per_image"]),
            default=exact,
        )
        told = (
            f"exact search scores {float(exact[quality]):.3f} with {float(exact['bytes_per_image']):.0f} bytes; the "
            f"smallest within .005 is {small['index']} in {small['dims']} dimensions, "
            f"{float(small['bytes_per_image']):.0f} bytes and {float(small['cpu_p95_ms']):.3f} ms"
        )
        return finish(
            figure,
            f"{row.slug}-frontier",
            alt=f"Approximate search over {row.name}: {told}.",
            caption=f"{told[0].upper()}{told[1:]}. Dark rings: nothing is better in quality, time and bytes at once. "
            "Chosen by the test images: a look, not a tuning.",
        )


def _panel(axes: Axes, points: Sequence[Mapping[str, str]], cost: str, quality: str, families: Sequence[str]) -> None:
    for one in points:
        front = one["front"] == "True"
        axes.plot(
            float(one[cost]),
            float(one[quality]),
            "o",
            ms=6 if front else 3,
            color=_colour(one["family"], families),
            mec=INK if front else "none",
            mew=0.9,
            alpha=1.0 if front else 0.5,
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.tick_params(labelcolor=MUTED)


def _colour(family: str, families: Sequence[str]) -> str:
    return CLASS_COLOURS[list(families).index(family) % len(CLASS_COLOURS)]
