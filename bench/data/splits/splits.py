"""Seeded, stratified cuts of labels; nothing here reads or changes numpy's global random state."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bench.contract import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.contract import Labels


def stratified_cut(
    labels: Labels, fraction: float, seed: int, *, least: int = 0, lone_taken: bool = False
) -> tuple[Labels, Labels]:
    """Cut rows in two, each class in the same proportion: ``(rest, taken)``, int64 row numbers, each ascending.

    fraction: the share to take, between 0 and 1. Each class keeps at least one row in the rest, and, where it has two
    or more, gives at least ``least``; its only row goes to the rest, or to the taken with ``lone_taken``. Otherwise a
    class gives its exact share, rounded down or up such that the whole comes as near to its share as it can.
    """
    if not 0 < fraction < 1:
        raise UsageError(f"a fraction to cut off must lie between 0 and 1, got {fraction:g}")
    counts = _counts(labels)
    high = np.maximum(counts - 1, 0)
    low = np.minimum(least, high)
    if lone_taken:
        high = np.where(counts == 1, 1, high)
        low = np.where(counts == 1, 1, low)
    rng = _generator(seed)
    share = np.round(counts * fraction, 9)  # without the last bits, in which 0.29 x 100 is below 29
    take = _rounded(np.clip(share, low, high), round(float(share.sum())), high, rng)
    return _divided(labels, take, rng)


def class_cut(labels: Labels, test: float, validation: float, seed: int) -> Labels:
    """Cut rows class by class: 0 to learn from, 1 to validate on, 2 to test on, int64 ``(n,)``.

    test: the share of the classes to test on, two at least; validation: of the others, two at least. A class with one
    row, which nothing can find, is learnt from.
    """
    counts, part = _counts(labels), np.zeros(int(labels.max(initial=-1)) + 1, np.int64)
    several = _generator(seed).permutation(np.flatnonzero(counts > 1))
    tested = max(2, round(test * len(several)))
    held = max(2, round(validation * (len(several) - tested)))
    part[several[:tested]] = 2
    part[several[tested : tested + held]] = 1
    return part[labels]


_MOST_HELD_OUT = 0.25  # of the images, so that some of fewer classes can rank


def can_rank(labels: Labels) -> bool:
    """Whether images can be ranked against each other: there are two classes, and one of them has two images."""
    counts = _counts(labels)
    return bool((counts > 0).sum() > 1 and counts.max(initial=0) > 1)


def validation_cut(labels: Labels, fraction: float, seed: int) -> tuple[Labels, Labels]:
    """Cut off what validates: stratified, or where that leaves most images without another of their class, in pairs.

    In pairs: of as many classes as the share allows, and of two at least, two images each; all of those of a class with
    less than four, which would have none or one left to learn from. At most a quarter of the images; where that is not
    enough, or only one class would be left to learn from, the cut stays stratified, and cannot be ranked.

    Args:
        labels: int64 ``(n,)``.
        fraction: The share to take, between 0 and 1.
        seed: Of the choice of classes and images.

    Returns:
        ``(rest, taken)``, int64 row numbers, each ascending.
    """
    rest, taken = stratified_cut(labels, fraction, seed)
    held = _counts(labels[taken])
    if 2 * int(held[held > 1].sum()) >= len(taken) and can_rank(labels[taken]):
        return rest, taken
    counts = _counts(labels)
    rng = np.random.default_rng([seed, 2])
    several = rng.permutation(np.flatnonzero(counts > 1))
    give = np.where(counts[several] < 4, counts[several], 2)  # two to take, two to stay
    enough = max(2, int(np.searchsorted(np.cumsum(give), round(fraction * len(labels)), side="left")) + 1)
    take = np.zeros_like(counts)
    take[several[:enough]] = give[:enough]
    possible = len(several) >= enough and take.sum() <= _MOST_HELD_OUT * len(labels) and (counts > take).sum() > 1
    return _divided(labels, take, rng) if possible else (rest, taken)


def stratified_limit(labels: Labels, limit: int, seed: int, *, least: int = 2) -> Labels:
    """Return the rows to keep so that at most ``limit`` remain, stratified by class: int64, ascending.

    Each class that stays has at least ``least`` rows if it had them, so that its images can find each other; where
    the limit is too low for all classes, the seed decides which stay, in the same way for every part of a data set.
    """
    if limit < 2 * least:
        raise UsageError(f"a limit of {limit} images is too low: {2 * least} are {least} of each of two classes")
    if len(labels) <= limit:
        return np.arange(len(labels))
    counts = _counts(labels)
    rng = _generator(seed)
    tickets = np.random.default_rng([seed, 1]).random(len(counts))  # a class's ticket depends on its number alone
    tickets[counts == 0] = np.inf
    counts[np.argsort(tickets, kind="stable")[limit // least :]] = 0
    total = min(limit, int(counts.sum()))
    share = _proportional(counts, np.minimum(least, counts), total)
    return _divided(labels, _rounded(share, total, counts, rng), rng)[1]


def at_most(labels: Labels, most: Labels | int, seed: int) -> Labels:
    """Return the rows to keep so that no class has more than ``most``: int64, ascending.

    most: for all classes, or one number a class. What a smaller number keeps, a larger one keeps as well.
    """
    counts = _counts(labels)
    return _divided(labels, np.minimum(counts, most).astype(np.int64), _generator(seed))[1]


def some_of(count: int, take: int, seed: int) -> Labels:
    """Return ``take`` of the numbers below ``count`` by chance, ascending; a larger take keeps a smaller one's."""
    return np.sort(_generator(seed).permutation(count)[:take])


def _generator(seed: int) -> np.random.Generator:
    if seed < 0:
        raise UsageError(f"a split seed must be 0 or more, got {seed}")
    return np.random.default_rng(seed)


def _counts(labels: Labels) -> NDArray[np.int64]:
    return np.bincount(labels).astype(np.int64)


def _proportional(counts: Labels, low: Labels, total: int) -> NDArray[np.float64]:
    """Divide a total in proportion to the counts; a class that would get less than its lowest share gets just that."""
    raised = np.zeros(len(counts), np.bool_)
    while True:
        others = int(counts[~raised].sum())
        scale = (total - int(low[raised].sum())) / others if others else 0.0
        share = np.where(raised, low, np.round(counts * scale, 9))
        below = ~raised & (share < low)
        if not below.any():
            return share
        raised |= below


def _rounded(share: NDArray[np.float64], total: int, high: Labels, rng: np.random.Generator) -> Labels:
    """Round shares down, then up again from the largest remainder on until they add up to the total."""
    take = np.floor(share).astype(np.int64)
    remainder = np.where(take < high, share - take, 0.0)
    order = np.lexsort((rng.permutation(len(take)), -remainder))
    up = order[: max(0, total - int(take.sum()))]
    take[up[remainder[up] > 0]] += 1
    return take


def _divided(labels: Labels, take: Labels, rng: np.random.Generator) -> tuple[Labels, Labels]:
    """Take so many rows of each class at random: ``(rest, taken)``."""
    shuffled = rng.permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    counts = np.bincount(labels, minlength=len(take))
    place_in_class = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    taken = place_in_class < np.repeat(take, counts)
    return np.sort(by_class[~taken]), np.sort(by_class[taken])
