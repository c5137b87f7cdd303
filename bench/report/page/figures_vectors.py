"""What the vectors look like: a map of some of them in two dimensions, and how similar pairs are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.evaluation.arrays import Ints, Scores
from bench.report.page.drawing import ACCENT, CLASS_COLOURS, INK, WARM, Drawn, bare, finish, style
from bench.report.page.groups import Row
from bench.report.page.planes import Plane

_BINS = 60


def draw_map(row: Row, plane: Plane, labels: Ints, classes: Sequence[str]) -> Drawn:
    """Return the map as a figure; its points are in the order given, so that the page can name each."""
    present = np.unique(labels)
    colours = [CLASS_COLOURS[int(np.searchsorted(present, label)) % len(CLASS_COLOURS)] for label in labels]
    with style():
        figure = Figure(figsize=(3.45, 3.3))
        axes = figure.add_subplot()
        drawn = axes.scatter(plane.points[:, 0], plane.points[:, 1], c=colours, s=12, linewidths=0, clip_on=False)
        drawn.set_gid("points")
        bare(axes)
        axes.set_title("embedding map")
        if len(present) <= len(CLASS_COLOURS):
            marks = [Line2D([], [], ls="", marker="o", ms=4, color=CLASS_COLOURS[at]) for at in range(len(present))]
            names = [classes[label] for label in present]
            axes.legend(
                marks, names, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=min(4, len(names)), handletextpad=0.1
            )
        return finish(
            figure,
            f"{row.slug}-map",
            alt=f"{len(labels)} gallery images of {row.name} on {plane.axes}.",
            caption=f"{len(labels)} gallery images on {plane.axes}. Point at one, or press the arrow keys, to see it.",
        )


def draw_histogram(row: Row, same: Scores, different: Scores, threshold: float | None) -> Drawn:
    """Return the similarities of pairs of one class and of two, with the threshold that validation gave."""
    low = float(min(same.min(), different.min()))
    edges = np.linspace(low, max(1.0, float(same.max())), _BINS + 1)
    where = "" if threshold is None else f", and the threshold {threshold:.3f} of the equal error rate on validation"
    missing = "" if threshold is not None else " This run has no threshold: it was made before they were fitted."
    with style():
        figure = Figure(figsize=(5.6, 1.9))
        axes = figure.add_subplot()
        for values, colour, name in ((different, WARM, "two classes"), (same, ACCENT, "one class")):
            heights, _ = np.histogram(values, edges)
            axes.stairs(heights / len(values), edges, fill=True, color=colour, alpha=0.28)
            axes.stairs(heights / len(values), edges, color=colour, lw=1.1, label=f"pairs of {name}")
        if threshold is not None:
            axes.axvline(threshold, color=INK, lw=1.0, ls=(0, (4, 3)), label=f"threshold {threshold:.3f}")
        axes.set_xlabel("cosine similarity")
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.26), ncols=3, handlelength=1.2, columnspacing=1.0)
        axes.set_title("similarity of pairs")
        return finish(
            figure,
            f"{row.slug}-similarities",
            alt=f"Similarities of {row.name}: pairs of one class have median {np.median(same):.2f}, "
            f"pairs of two {np.median(different):.2f}.",
            caption=f"{len(same):,} query-gallery pairs of one class, {len(different):,} of two, drawn by seed"
            f"{where}.{missing}",
        )
