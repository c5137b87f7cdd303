"""What a ranking scores by chance, in closed form, and what our own ranking scores where only chance can help it.

Labels shuffled over the images, and random vectors in place of the method's, must both give the chance level. They do
not where ties are counted for the method, where a label decides the order, or where the ranking itself is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bench.evaluation.metrics.metric import Metric
from bench.evaluation.metrics.registry import describe
from bench.evaluation.metrics.ties import ExpectedRanks, tied_order
from bench.evaluation.ranking.arrays import Floats, Ints, Vectors
from bench.evaluation.ranking.backend import RankedBlock
from bench.evaluation.ranking.engine import rank_gallery
from bench.evaluation.ranking.lists import Lists
from bench.evaluation.ranking.ranks import Ranks
from bench.evaluation.ranking.relevance import Layout, build_layout
from bench.evaluation.ranking.retrieval_set import RetrievalSet
from bench.evaluation.ranking.vectors import check_vectors

_CLASSES, _QUERIES, _ITEMS = 64, 128, 512  # enough to see a bias of a few hundredths, in a fraction of a second
TURNS = 16  # draws of labels or vectors; the error of their mean comes from their spread
ERRORS = 6.0  # standard errors above chance that are allowed: Student's t with 15 degrees exceeds 6 once in 80,000


@dataclass(frozen=True)
class Sample:
    """Some queries and items, and who is who among them.

    query ``(m, d)``, gallery ``(n, d)``: float32. Labels and images: int64 numbers; one image number on both sides is
    one image, which is excluded for itself. listed: where lists say who is relevant, bool ``(2, m, n)``: the pairs that
    are, and those excluded, images too.
    """

    query: Vectors
    gallery: Vectors
    query_labels: Ints
    gallery_labels: Ints
    query_images: Ints
    gallery_images: Ints
    listed: NDArray[np.bool_] | None = None

    @property
    def layout(self) -> Layout:
        """Who is relevant to whom."""
        labels = self.query_labels, self.gallery_labels
        if self.listed is None:
            return build_layout(*labels, self.query_images, self.gallery_images)
        positives, ignored = map(Lists.of_cells, self.listed)
        return build_layout(*labels, positives=positives, ignored=ignored)


@dataclass(frozen=True)
class AgainstChance:
    """The mean map of several draws, the chance level of the same queries, and the standard error of the difference."""

    value: float
    chance: float
    error: float

    @property
    def limit(self) -> float:
        """The highest value that chance explains."""
        return self.chance + ERRORS * self.error + 1e-9


def chance_level(metric: Metric, relevant: Ints, items: Ints) -> Floats:
    """Return what a metric is expected to be for a random order, float64 ``(q,)``.

    relevant: R, items: N of each query, int64 ``(q,)``, 1 <= R <= N. A random order is one in which all is tied. For
    map that is Bestgen, "Exact expected average precision of the random baseline for system evaluation", 2015. Raises
    UsageError for one that does not follow from ranks.
    """
    return _of_sizes(metric, relevant, items, ExpectedRanks.shuffled)


def perfect_level(metric: Metric, relevant: Ints, items: Ints) -> Floats:
    """Return a metric's value for a ranking that begins with all relevant items; arguments as ``chance_level``."""
    return _of_sizes(metric, relevant, items, _perfect)


def _perfect(relevant: Ints, items: Ints) -> Ranks:
    offsets = np.concatenate(([0], np.cumsum(relevant))).astype(np.int64)
    return Ranks(np.arange(1, offsets[-1] + 1) - np.repeat(offsets[:-1], relevant), offsets, items)


def _of_sizes(
    metric: Metric, relevant: Ints, items: Ints, order: Callable[[Ints, Ints], ExpectedRanks | Ranks]
) -> Floats:
    """Return a metric of an order that depends on R and N alone; queries of one R and N are worked out once."""
    pairs, place = np.unique(np.stack([relevant, items], axis=1), axis=0, return_inverse=True)
    return metric.of(order(pairs[:, 0], pairs[:, 1]))[place.ravel()]


def draw_sample(data: RetrievalSet, *, seed: int) -> Sample:
    """Return at most 128 queries and 512 items of at most 64 classes, drawn evenly; queries have something relevant."""
    rng = np.random.default_rng((seed, 4))
    labels, images = (data.query_labels, data.gallery_labels), data.images
    usable = np.flatnonzero(data.layout.relevant)
    if data.layout.positives is not None:
        return _listed_sample(data, data.layout.positives, _some(usable, _QUERIES, rng), rng)
    known = np.unique(labels[0][usable])
    classes = rng.permutation(known)[:_CLASSES]
    query = _some(usable[np.isin(labels[0][usable], classes)], _QUERIES, rng)
    item = _some(np.flatnonzero(np.isin(labels[1], classes)), _ITEMS, rng)
    vectors = data.query.take(query), data.gallery.take(item)
    return Sample(*vectors, labels[0][query], labels[1][item], images[0][query], images[1][item])


def _listed_sample(data: RetrievalSet, lists: Lists, query: Ints, rng: np.random.Generator) -> Sample:
    """Return queries with 512 columns, up to half of them such that they look for."""
    found = _some(np.unique(lists.subset(query).columns).astype(np.int64), _ITEMS // 2, rng)
    others = np.setdiff1d(np.arange(data.layout.columns), found)
    column = np.sort(np.concatenate((found, _some(others, _ITEMS - len(found), rng))))
    cells = np.repeat(query, len(column)), np.tile(column, len(query))
    shape = len(query), len(column)
    listed = np.stack([(one.place(*cells) >= 0).reshape(shape) for one in (lists, data.layout.excluded)])
    item = data.layout.order[column]
    none = np.zeros(len(query), dtype=np.int64), np.zeros(len(item), dtype=np.int64)
    return Sample(data.query.take(query), data.gallery.take(item), *none, *none, listed)


def shuffled_labels(sample: Sample, *, ties: str, seed: int, threads: int = 1) -> AgainstChance:
    """Rank the sample's own vectors with the labels of its images shuffled, or the items that lists name."""
    rng = np.random.default_rng((seed, 5))
    if sample.listed is not None:
        positives, ignored = sample.listed
        turns = (rng.permutation(positives.shape[1]) for _ in range(TURNS))
        mixed = (replace(sample, listed=np.stack((positives[:, turn] & ~ignored, ignored))) for turn in turns)
        return _against_chance(mixed, ties, threads)
    images, first = np.unique(np.concatenate((sample.query_images, sample.gallery_images)), return_index=True)
    labels = np.concatenate((sample.query_labels, sample.gallery_labels))[first]
    query, gallery = (np.searchsorted(images, side) for side in (sample.query_images, sample.gallery_images))
    shuffled = (rng.permutation(labels) for _ in range(TURNS))
    draws = (replace(sample, query_labels=one[query], gallery_labels=one[gallery]) for one in shuffled)
    return _against_chance(draws, ties, threads)


def random_vectors(sample: Sample, *, ties: str, seed: int, threads: int = 1) -> AgainstChance:
    """Rank random directions in place of the sample's vectors, with the true labels."""
    rng = np.random.default_rng((seed, 6))
    shapes = sample.query.shape, sample.gallery.shape
    vectors = ([rng.standard_normal(shape, np.float32) for shape in shapes] for _ in range(TURNS))
    return _against_chance((replace(sample, query=one, gallery=other) for one, other in vectors), ties, threads)


def _against_chance(draws: Iterator[Sample], ties: str, threads: int) -> AgainstChance:
    found = [pair for draw in draws if (pair := _map_and_chance(draw, ties, threads)) is not None]
    if not found:
        return AgainstChance(float("nan"), float("nan"), float("nan"))
    value, chance = np.array(found).T
    spread = float((value - chance).std(ddof=1)) if len(found) > 1 else float("nan")
    return AgainstChance(float(value.mean()), float(chance.mean()), spread / len(found) ** 0.5)


def _map_and_chance(sample: Sample, ties: str, threads: int) -> tuple[float, float] | None:
    """Return the mean map of a sample and its chance level, or None where no query has anything relevant."""
    layout = sample.layout
    if not layout.relevant.any():
        return None

    def score(block: RankedBlock) -> Floats:
        return describe("map").of(tied_order(block.pessimistic, block.optimistic, ties))

    queries, items = (check_vectors(side, "sample", normalize=False) for side in (sample.query, sample.gallery))
    values = np.concatenate(rank_gallery(queries, items, layout, score, keep=1, threads=threads))
    has = layout.relevant > 0
    by_chance = chance_level(describe("map"), layout.relevant[has], layout.items[has])
    return float(values[has].mean()), float(by_chance.mean())


def _some(rows: Ints, most: int, rng: np.random.Generator) -> Ints:
    return np.sort(rng.permutation(rows)[:most])
