"""How the vectors of the classes lie, in closed form from sums a class: no pair of vectors is ever compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from bench.evaluation.ranking.arrays import Floats, Ints
from bench.evaluation.ranking.retrieval_set import RetrievalSet
from bench.evaluation.ranking.vectors import Rows

_BLOCK_VALUES = 1 << 21  # vectors are made float64 in blocks of this many values: 16 MB


@dataclass(frozen=True)
class ClassStructure:
    """What the classes' vectors look like.

    intra, inter: mean cosine of a query and an item of its class, and of another class, over all pairs that are
    ranked; NaN where there is no such pair. dimension_effect: the share of one dimension's variance that the classes
    explain, for the dimension (of the gallery) where it is largest; also of whether a dimension is zero. scatter: the
    same share for all dimensions together. Both are 1 where every class is one point, and about 0 without classes;
    NaN where no class has two items.
    """

    intra: float
    inter: float
    dimension_effect: float
    scatter: float


def class_structure(data: RetrievalSet) -> ClassStructure:
    """Return the structure of a set whose rows are of unit length."""
    labels, layout = data.query_labels, data.layout
    count = int(max(labels.max(), data.gallery_labels.max())) + 1
    items = _sums(data.gallery, data.gallery_labels, count)
    alone = data.query is data.gallery and np.array_equal(labels, data.gallery_labels)
    asked = items.values if alone else _sums(data.query, labels, count).values
    same, every = float((asked * items.values).sum()), float(asked.sum(axis=0) @ items.values.sum(axis=0))
    own_same, own_every = _excluded(data)
    pairs, alike = int(layout.items.sum()), int(layout.relevant.sum())
    intra = (same - own_same) / alike if alike else float("nan")
    inter = (every - own_every - (same - own_same)) / (pairs - alike) if pairs > alike else float("nan")
    effect, scatter = _explained(items.values, items.squares, items.sizes)
    zero_effect, _ = _explained(items.filled, items.filled.sum(axis=0), items.sizes)
    return ClassStructure(intra, inter, float(np.fmax(effect, zero_effect)), scatter)


@dataclass(frozen=True)
class _Sums:
    """Sums over classes; all float64.

    values: sum of each class's vectors ``(c, d)``; filled: how many are not zero ``(c, d)``;
    squares: sum of squares over all vectors ``(d,)``; sizes: items a class ``(c,)``.
    """

    values: Floats
    filled: Floats
    squares: Floats
    sizes: Floats


def _sums(rows: Rows, labels: Ints, classes: int) -> _Sums:
    values, filled = np.zeros((classes, rows.dimension)), np.zeros((classes, rows.dimension))
    squares = np.zeros(rows.dimension)
    step = max(1, _BLOCK_VALUES // rows.dimension)
    for first in range(0, len(rows), step):
        block = rows.take(slice(first, first + step)).astype(np.float64)
        member = labels[first : first + step]
        pick = csr_array((np.ones(len(member)), (member, np.arange(len(member)))), shape=(classes, len(member)))
        values += pick @ block
        filled += pick @ (block != 0).astype(np.float64)
        squares += np.square(block).sum(axis=0)
    return _Sums(values, filled, squares, np.bincount(labels, minlength=classes).astype(np.float64))


def _explained(sums: Floats, squares: Floats, sizes: Floats) -> tuple[float, float]:
    """Return the largest share of a dimension's variance that classes explain, and that of all dimensions together.

    It is 1 - (within / (n - c)) / (total / (n - 1)), epsilon squared, which unlike eta squared is about 0 for classes
    of any size that mean nothing. Source: Kelley, "An unbiased correlation ratio measure", PNAS 21, 1935.
    """
    n, c = sizes.sum(), float((sizes > 0).sum())
    if n <= c:
        return float("nan"), float("nan")
    total = squares - np.square(sums.sum(axis=0)) / n
    within = squares - (np.square(sums) / np.maximum(sizes, 1)[:, None]).sum(axis=0)
    varies = total > 1e-9 * squares  # below it, a difference of sums is rounding
    if not varies.any():
        return float("nan"), float("nan")
    total, within = total[varies], np.maximum(within[varies], 0.0)
    scale = (n - 1) / (n - c)
    return float((1 - within / total * scale).max()), float(1 - within.sum() / total.sum() * scale)


def _excluded(data: RetrievalSet) -> tuple[float, float]:
    """Return the sum of the cosines of pairs that are not ranked: those of one class, and all."""
    layout = data.layout
    query = layout.excluded.query
    item = layout.order[layout.excluded.columns]
    same = every = 0.0
    step = max(1, _BLOCK_VALUES // data.gallery.dimension)
    for first in range(0, len(query), step):
        left, right = query[first : first + step], item[first : first + step]
        cosines = np.einsum("ij,ij->i", data.query.take(left), data.gallery.take(right), dtype=np.float64)
        same += float(cosines[data.query_labels[left] == data.gallery_labels[right]].sum())
        every += float(cosines.sum())
    return same, every
