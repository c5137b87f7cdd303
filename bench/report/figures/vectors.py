"""The map of a run's vectors: its plane (principal components or UMAP), and the drawing of it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.environment import require_package
from bench.evaluation.ranking.arrays import Floats, Ints, Scores, Vectors
from bench.report.figures.style import ACCENT, CLASS_COLOURS, INK, WARM, Drawn, bare, finish, style
from bench.report.tables.groups import Row

_MOST_FITTED = 5_000  # vectors that a plane is fitted to
_NEIGHBORS = 15


@dataclass(frozen=True)
class Plane:
    """Some vectors in two dimensions, float64 ``(k, 2)``, and what the two directions are, in words."""

    points: Floats
    axes: str


PlaneOf: TypeAlias = Callable[[Vectors, Ints], Plane]  # all vectors, and the rows to show


def plane_by(name: str) -> PlaneOf:
    """Return what ``--map`` names, ``pca`` or ``umap``. Raises UsageError where UMAP's package is missing."""
    if name == "pca":
        return principal_plane
    found = require_package("umap", "--map umap", "umap-learn", "'simbench-retrieval[umap]'")
    return lambda vectors, rows: _neighbor_plane(found.UMAP, vectors, rows)


def principal_plane(vectors: Vectors, rows: Ints) -> Plane:
    """Return some vectors on the first two principal components of all, the sign of each fixed.

    vectors: float32 ``(n, d)``; rows: int64 ``(k,)``.
    """
    step = -(-len(vectors) // _MOST_FITTED)
    sample = vectors[::step].astype(np.float64)
    middle = sample.mean(axis=0)
    _, values, axes = np.linalg.svd(sample - middle, full_matrices=False)
    axes = axes[:2] * np.sign(axes[:2][np.arange(min(2, len(axes))), np.abs(axes[:2]).argmax(axis=1)])[:, None]
    points = (vectors[rows] - middle) @ axes.T
    if points.shape[1] < 2:  # vectors of one dimension
        points = np.column_stack([points, np.zeros(len(points))])
    spread = float(np.square(values).sum())
    kept = float(np.square(values[:2]).sum()) / spread if spread > 0 else 1.0
    return Plane(points, f"the first two principal components, which keep {kept:.0%} of the variance")


def _neighbor_plane(umap: Callable[..., Any], vectors: Vectors, rows: Ints) -> Plane:
    """Return some vectors as UMAP lays them out among up to 5,000 (McInnes, Healy and Melville, 2018), by seed."""
    step = -(-len(vectors) // _MOST_FITTED)
    fitted = np.unique(np.concatenate((np.arange(0, len(vectors), step), rows)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its one thread, which the seed asks for
        made = umap(n_neighbors=min(_NEIGHBORS, len(fitted) - 1), metric="cosine", random_state=0, n_jobs=1)
        laid: Floats = np.asarray(made.fit_transform(vectors[fitted]), dtype=np.float64)
    points = laid[np.searchsorted(fitted, rows)]
    return Plane(points, f"a UMAP of {len(fitted):,}: near ones are alike, distances between groups mean little")


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
    why = "no two of its validation images are of one class, or no two of different ones"
    missing = "" if threshold is not None else f" This run has no threshold: {why}."
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
