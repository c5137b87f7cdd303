"""Class against class: which class the nearest neighbour is of, and how alike the classes' vectors are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from bench.evaluation.ranking.arrays import Floats, Ints, Vectors
from bench.report.figures.style import CELL, INK, MUTED, Drawn, bare, finish, style
from bench.report.tables.groups import Answers, Row

MOST_CLASSES = 12  # a larger matrix is no picture that anybody reads: the classes with the most errors are shown
_STRONGEST = 0.72  # opacity of a full cell, so that its number stays readable in light and dark


def confusion(answers: Answers) -> Floats:
    """Return the share of each class's queries whose nearest neighbour is of each class, float64 ``(c, c)``.

    Rows: the query's class; NaN for a class without queries.
    """
    count = len(answers.classes)
    nearest = answers.neighbors[:, 0]
    known = nearest >= 0
    table = np.zeros((count, count))
    np.add.at(table, (answers.labels[known], answers.gallery_labels[nearest[known]]), 1.0)
    with np.errstate(invalid="ignore"):
        return np.asarray(table / table.sum(axis=1, keepdims=True), dtype=np.float64)


def class_similarity(answers: Answers, query: Vectors, gallery: Vectors) -> Floats:
    """Return the mean cosine of a class's queries and a class's gallery items, float64 ``(c, c)``.

    A query's own image is left out where the gallery has it; NaN where there is no pair.
    """
    count = len(answers.classes)
    sums, sizes = zip(
        _class_sums(query, answers.labels, count), _class_sums(gallery, answers.gallery_labels, count), strict=True
    )
    total, pairs = sums[0] @ sums[1].T, np.outer(*sizes)
    own = answers.own_items()
    rows = np.flatnonzero(own >= 0)
    cosines = np.einsum("ij,ij->i", query[rows], gallery[own[rows]], dtype=np.float64)
    np.subtract.at(total, (answers.labels[rows], answers.gallery_labels[own[rows]]), cosines)
    np.subtract.at(pairs, (answers.labels[rows], answers.gallery_labels[own[rows]]), 1.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(pairs > 0, total / pairs, np.nan), dtype=np.float64)


def query_similarity(answers: Answers, query: Vectors, gallery: Vectors, rows: Ints) -> Floats:
    """Return the mean cosine of some queries and each class's gallery items, float64 ``(k, c)``, without own images."""
    sums, sizes = _class_sums(gallery, answers.gallery_labels, len(answers.classes))
    total, pairs = query[rows].astype(np.float64) @ sums.T, np.tile(sizes, (len(rows), 1))
    own = answers.own_items()[rows]
    there = np.flatnonzero(own >= 0)
    labels = answers.gallery_labels[own[there]]
    total[there, labels] -= np.einsum("ij,ij->i", query[rows[there]], gallery[own[there]], dtype=np.float64)
    pairs[there, labels] -= 1.0
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(pairs > 0, total / pairs, np.nan), dtype=np.float64)


def worst_confusions(table: Floats, classes: Sequence[str], most: int = 3) -> list[tuple[str, str, float]]:
    """Return the most frequent confusions as (query's class, neighbour's class, share), largest first."""
    wrong = np.nan_to_num(table.copy())
    np.fill_diagonal(wrong, 0.0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    cells = [divmod(int(at), len(wrong)) for at in order]
    return [(classes[a], classes[b], float(wrong[a, b])) for a, b in cells if wrong[a, b] > 0]


def draw_confusion(row: Row, table: Floats, classes: Sequence[str]) -> Drawn:
    """Return the confusion of the nearest neighbour as a figure."""
    told = [f"{share:.0%} of {a} find {b}" for a, b, share in worst_confusions(table, classes)]
    shown = _shown(table)
    part = "" if len(shown) == len(table) else f" The {len(shown)} of {len(table)} classes with the most errors."
    return _matrix(
        table[np.ix_(shown, shown)],
        [classes[at] for at in shown],
        f"{row.slug}-confusion",
        title="class of the nearest neighbour",
        alt=f"Confusion of {row.name}: {'; '.join(told) or 'none'}.",
        caption=f"A row: the query's class; a column: its nearest neighbour's, in per cent.{part}",
        percent=True,
    )


def draw_class_similarity(row: Row, table: Floats, classes: Sequence[str], confused: Floats) -> Drawn:
    """Return the classes' similarity as a figure, with the same classes as the confusion."""
    shown = _shown(confused)
    own, other = np.nanmean(np.diag(table)), np.nanmean(table[~np.eye(len(table), dtype=bool)])
    return _matrix(
        table[np.ix_(shown, shown)],
        [classes[at] for at in shown],
        f"{row.slug}-classes",
        title="mean cosine of classes",
        alt=f"Mean cosine between classes of {row.name}: {own:.2f} within a class, {other:.2f} across.",
        caption=f"A row: the query's class; a column: the gallery's. Within a class {own:.2f}, across {other:.2f}.",
        percent=False,
    )


def _class_sums(vectors: Vectors, labels: Ints, count: int) -> tuple[Floats, Floats]:
    sums = np.zeros((count, vectors.shape[1]))
    np.add.at(sums, labels, vectors)
    return sums, np.bincount(labels, minlength=count).astype(np.float64)


def _shown(table: Floats) -> list[int]:
    right = np.where(np.isnan(np.diag(table)), np.inf, np.diag(table))
    return sorted(np.argsort(right, kind="stable")[:MOST_CLASSES].tolist())


def _matrix(
    table: Floats, names: Sequence[str], slug: str, *, title: str, alt: str, caption: str, percent: bool
) -> Drawn:
    size = len(names)
    with style():
        figure = Figure(figsize=(3.45, 3.45))
        axes = figure.add_subplot()
        for (y, x), value in np.ndenumerate(table):
            if np.isnan(value):
                continue
            alpha = _STRONGEST * float(np.clip(value, 0.0, 1.0))
            if alpha > 0.01:
                axes.add_patch(
                    Rectangle((x - 0.47, y - 0.47), 0.94, 0.94, color=CELL, alpha=alpha, lw=0, clip_on=False)
                )
            text = (f"{100 * value:.0f}" if value >= 0.005 else "") if percent else _short(value)
            if text:
                axes.text(x, y, text, ha="center", va="center", fontsize=7, color=INK if value > 0.02 else MUTED)
        axes.set_xlim(-0.5, size - 0.5)
        axes.set_ylim(size - 0.5, -0.5)
        axes.set_aspect("equal")
        bare(axes)
        axes.set_xticks(range(size), [_cut(name) for name in names], rotation=45, ha="right", fontsize=7.5)
        axes.set_yticks(range(size), [_cut(name) for name in names], fontsize=7.5)
        axes.set_title(title)
        return finish(figure, slug, alt=alt, caption=caption)


def _short(value: float) -> str:
    text = f"{value:.2f}"
    return text.replace("0.", ".") if text not in ("0.00", "-0.00") else "0"


def _cut(name: str) -> str:
    return name if len(name) <= 12 else name[:11] + "…"
