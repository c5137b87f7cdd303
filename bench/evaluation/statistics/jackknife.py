"""How much a score would vary with other images, or other classes: the delete-a-group jackknife.

Images (or classes) are dealt to groups, and the score is worked out anew with each group gone, as queries and as
gallery items. In a retrieval every image also decides what others find, so queries are not independent, and an interval
from their values alone is too narrow: by half for ``loo``. Source: Shao and Tu, The Jackknife and Bootstrap, 1995,
section 2.3; Arvesen, Jackknifing U-statistics, Annals of Mathematical Statistics 40(6), 1969.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from bench.evaluation.ranking.arrays import Floats, Ints

GROUPS = 20  # so that a standard error has 19 degrees of freedom
FEWEST_CLASSES = 3  # with one of two classes gone, everything is relevant

THESE_CLASSES, OTHER_CLASSES = "these_classes", "other_classes"
ESTIMANDS = {THESE_CLASSES: "other images of the same classes", OTHER_CLASSES: "other classes of this kind"}


@dataclass(frozen=True)
class Groups:
    """Who leaves together. query: int64 ``(q,)``, the group of each query; gallery: ``(N,)``; count: of groups."""

    query: Ints
    gallery: Ints
    count: int


@dataclass(frozen=True)
class Replicates:
    """Each metric's score without each group, float64 ``(groups,)`` by metric: what intervals and tests are made of.

    these_classes: without groups of images, which are image_groups; other_classes: without groups of classes, which are
    class_groups; nothing and None where there are too few classes.
    """

    these_classes: Mapping[str, Floats]
    other_classes: Mapping[str, Floats]
    image_groups: Groups
    class_groups: Groups | None

    def by_estimand(self) -> dict[str, Mapping[str, Floats]]:
        """Return both by the name of what they estimate."""
        return {THESE_CLASSES: self.these_classes, OTHER_CLASSES: self.other_classes}

    def of_values(self, values: Mapping[str, Floats]) -> Replicates:
        """Return the same of metrics that do not look at the gallery. values: float64 ``(q,)`` by metric."""

        def without(groups: Groups | None) -> dict[str, Floats]:
            return {} if groups is None else {n: queries_left_out(v[None], groups)[0] for n, v in values.items()}

        return replace(self, these_classes=without(self.image_groups), other_classes=without(self.class_groups))

    def joined(self, other: Replicates) -> Replicates:
        """Return these metrics and another's, of the same groups."""
        return replace(
            self,
            these_classes={**self.these_classes, **other.these_classes},
            other_classes={**self.other_classes, **other.other_classes},
        )


def groups_of_images(labels: tuple[Ints, Ints], images: tuple[Ints, Ints], *, seed: int = 0) -> Groups:
    """Deal images to 20 groups that hold every class alike; fewer images are a group each.

    labels, images: int64 ``(q,)`` and ``(N,)``; equal image numbers are one image, which leaves on both sides at once.
    """
    sides = np.repeat([0, 1], [len(labels[0]), len(labels[1])])
    number, first, member = np.unique(np.concatenate(images), return_index=True, return_inverse=True)
    label = np.concatenate(labels)[first]
    on = [np.bincount(member[sides == side], minlength=len(number)) > 0 for side in (0, 1)]
    order = np.lexsort((np.random.default_rng((seed, 6)).permutation(len(number)), on[1], on[0], label))
    count = min(GROUPS, len(number))
    group = np.empty(len(number), dtype=np.int64)
    group[order] = np.arange(len(number)) % count
    return Groups(group[member[sides == 0]], group[member[sides == 1]], count)


def groups_of_classes(labels: tuple[Ints, Ints], *, seed: int = 0) -> Groups | None:
    """Deal classes to up to 20 groups of as many each as can be; None for fewer than three classes that are asked for.

    labels: int64 ``(q,)`` and ``(N,)``. Classes of the gallery that no query asks for are dealt to the same groups.
    """
    asked = np.unique(labels[0])
    if len(asked) < FEWEST_CLASSES:
        return None
    rng = np.random.default_rng((seed, 7))
    size = -(-len(asked) // GROUPS)
    count = -(-len(asked) // size)
    others = np.setdiff1d(labels[1], asked)
    dealt = np.concatenate((rng.permutation(asked), rng.permutation(others)))
    by_class = np.empty(int(dealt.max()) + 1, dtype=np.int64)
    by_class[dealt] = np.arange(len(dealt)) % count
    return Groups(by_class[labels[0]], by_class[labels[1]], count)


def standard_error(replicates: Floats) -> Floats:
    """Return the standard error of a score, float64 ``(...)``; NaN where it could not be worked out without a group.

    replicates: float64 ``(..., groups)``, the score without each group. The mean that all of them share, such as what
    fewer distractors are worth, falls out.
    """
    count = replicates.shape[-1]
    if count < 2:
        return np.full(replicates.shape[:-1], np.nan)
    return np.asarray(np.sqrt((count - 1) * replicates.var(axis=-1)), dtype=np.float64)


def queries_left_out(values: Floats, groups: Groups) -> Floats:
    """Return the mean of each seed's values without each group of queries, float64 ``(seeds, groups)``.

    values: float64 ``(seeds, q)``, NaN where a query has none. The gallery stays as it is, so an interval of these
    speaks of other queries to the same gallery.
    """
    known = ~np.isnan(values)
    member = groups.query == np.arange(groups.count)[:, None]
    sums = np.where(known, values, 0.0)
    left = sums.sum(axis=1, keepdims=True) - sums @ member.T
    counts = known.sum(axis=1, keepdims=True) - known @ member.T.astype(np.int64)
    means: Floats = np.divide(left, counts, out=np.full(left.shape, np.nan), where=counts > 0)
    return means
