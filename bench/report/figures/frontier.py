"""What approximate search keeps of a run's quality, where ``simbench index`` has measured it."""

from __future__ import annotations

import csv
import logging
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.report.figures.style import CLASS_COLOURS, INK, MUTED, Drawn, finish, log_ticks, style
from bench.report.tables.groups import Row
from bench.runs.integrity import DamagedError, read_sealed, verify
from bench.runs.store import RunRecord

_LOG = logging.getLogger(__name__)
FACTS = "frontier.json"
POINTS = "frontier.csv"

Points: TypeAlias = Sequence[Mapping[str, Any]]  # rows of frontier.csv, their values as numbers or as text

_SHAPES = {"full": "o", "pca": "s", "truncate": "^"}
_HOLLOW: dict[str, Any] = {"color": INK, "fillstyle": "none", "linestyle": ""}  # in the legend: any colour
_BELOW = 0.25  # how far below the best map@k the figure reaches: further down nobody would search


def frontier_panels(figure: Figure, points: Points, latency: str) -> tuple[Axes, Axes]:
    """Draw map@k against a column of latency and against bytes an image: colour the index, shape the reduction.

    A line joins the best of each panel's two; dark rings are the front of all three. Points more than .25 below the
    best are left out.
    """
    quality = _quality(points)
    best = max(float(one[quality]) for one in points)
    shown = [one for one in points if float(one[quality]) >= best - _BELOW]
    families = list(dict.fromkeys(one["family"] for one in points))
    colours = {family: CLASS_COLOURS[at % len(CLASS_COLOURS)] for at, family in enumerate(families)}
    left, right = figure.subplots(1, 2, sharey=True)
    _panel(left, shown, latency, quality, colours)
    _panel(right, shown, "bytes_per_image", quality, colours)
    reductions = [name for name in _SHAPES if any(one["reduction"] == name for one in shown)]
    handles = [left.plot([], [], "o", color=colour)[0] for colour in colours.values()]
    handles += [left.plot([], [], marker=_SHAPES[name], **_HOLLOW)[0] for name in reductions]
    handles += left.plot([], [], marker="o", markersize=8, markeredgewidth=2, **_HOLLOW)
    words = [*families, *reductions, "Pareto front"]
    figure.legend(handles, words, loc="outside right upper", frameon=False, fontsize=8)
    return left, right


def draw_frontier(row: Row) -> Drawn | None:
    """Return label map@k against latency and bytes of every index that was tried, or None if none was.

    A sweep that is damaged, or was of another run, is left out with a warning.
    """
    try:
        points = _read_points(row.first)
    except DamagedError as error:
        _LOG.warning("left out of the page: %s; measure again with simbench index", error)
        return None
    if not points:
        return None
    quality = _quality(points)
    exact = next((one for one in points if one["family"] == "flat" and one["reduction"] == "full"), points[0])
    small = min(
        (one for one in points if _in_front(one) and float(one[quality]) >= float(exact[quality]) - 0.005),
        key=lambda one: float(one["bytes_per_image"]),
        default=exact,
    )
    told = (
        f"exact search scores {float(exact[quality]):.3f} with {float(exact['bytes_per_image']):.0f} bytes; the "
        f"smallest within .005 is {small['index']} in {small['dims']} dimensions, "
        f"{float(small['bytes_per_image']):.0f} bytes and {float(small['cpu_p95_ms']):.3f} ms"
    )
    with style():
        figure = Figure(figsize=(8.6, 3.4), layout="constrained")
        left, right = frontier_panels(figure, points, "cpu_p95_ms")
        left.set_title(f"{quality} of labels, by index and dimension")
        left.set(xlabel="ms of a processor for one query (95th percentile, logarithmic)", ylabel=quality)
        right.set_xlabel("bytes an image takes in the index (logarithmic)")
        return finish(
            figure,
            f"{row.slug}-frontier",
            alt=f"Approximate search over {row.name}: {told}.",
            caption=f"{told[0].upper()}{told[1:]}. Dark rings: nothing is better in quality, time and bytes at once. "
            "Chosen by the test images: a look, not a tuning.",
        )


def _read_points(run: RunRecord) -> list[dict[str, str]]:
    folder = run.folder / "index"
    try:
        facts = read_sealed(folder / FACTS)
    except FileNotFoundError:
        return []
    if facts["run_digest"] != run.digest:
        raise DamagedError(f"{folder / FACTS} is of another run")
    with verify(folder / POINTS, facts["files"][POINTS]).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _panel(axes: Axes, points: Points, cost: str, quality: str, colours: Mapping[str, str]) -> None:
    costs, scores = (np.array([float(one[name]) for one in points]) for name in (cost, quality))
    for one, x, y in zip(points, costs, scores, strict=True):
        ring: dict[str, Any] = {"ms": 7, "mec": INK} if _in_front(one) else {"ms": 4, "mec": "none", "alpha": 0.6}
        axes.plot(x, y, _SHAPES[one["reduction"]], color=colours[one["family"]], **ring)
    order = np.lexsort((-scores, costs))
    axes.step(costs[order], np.maximum.accumulate(scores[order]), where="post", color=MUTED, lw=1, zorder=0)
    axes.set_xscale("log")
    log_ticks(axes, (1, 2, 5))


def _quality(points: Points) -> str:
    return next(name for name in points[0] if name.startswith("map@"))


def _in_front(point: Mapping[str, Any]) -> bool:
    return str(point["front"]) == "True"
