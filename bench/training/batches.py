"""Class-balanced batches of images, gathered and augmented as whole tensors, or of features computed before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from bench.contract import MethodError, Split
from bench.environment import images_at_once
from bench.training.augment import UNCHANGED, Augmentation

if TYPE_CHECKING:
    from bench.contract import Labels


_SHORTEST_EPOCH = 200


@dataclass(frozen=True)
class Batch:
    """What a step is taken on.

    inputs: of what is trained: pixels float32 ``(n, channels, height, width)`` in [0, 1], or the ``(n, features)`` of a
    backbone that never moves. labels, rows: int64 ``(n,)``, what is shown and where in the split. All on one device.
    """

    inputs: Tensor
    labels: Tensor
    rows: Tensor

    @property
    def pixels(self) -> Tensor:
        """The images. Raises MethodError where there are only features of them."""
        if self.inputs.ndim == 2:
            raise MethodError(
                "its loss asks for pixels, but what is behind a backbone that never moves is trained on features: "
                "say `uses_pixels = True` in the class, and it is shown the images"
            )
        return self.inputs


@dataclass(frozen=True)
class Features:
    """What a backbone makes of a split's images: ``(views, n, features)``, the first view the images as they are."""

    views: Tensor

    def plain(self) -> Tensor:
        """Return the features of the images as they are, float32 ``(n, features)``."""
        return self.views[0].float()

    def take(self, rows: Labels, rng: np.random.Generator) -> Tensor:
        """Return the features of some images, float32 ``(k, features)``, each in a view of its own draw."""
        return self.views[rng.integers(len(self.views), size=len(rows)), rows].float()


@dataclass(frozen=True)
class Batches:
    """An endless supply of class-balanced batches; an epoch's batches depend on (seed, epoch) only.

    That is what makes a resumed training equal to an uninterrupted one: there is no state to save. per_class: how many
    images of a class a batch is to hold or more, so that an image has a partner (some of a batch's first and last
    classes have fewer, where size is no multiple); where not all classes fit into a batch like that, each batch takes
    some of them, every class equally often. features: of the split's images, to be given in their place.
    """

    split: Split
    size: int
    device: torch.device
    seed: int
    augmentation: Augmentation = UNCHANGED
    per_class: int = 1
    features: Features | None = None

    @property
    def per_epoch(self) -> int:
        """Batches an epoch: one pass over the split, or 200 batches where a pass is shorter.

        A few hundred images must not mean training for a few steps only, nor a checkpoint every few steps.
        """
        return max(_SHORTEST_EPOCH, len(self.split) // self.size)

    def epoch(self, number: int) -> Iterator[Batch]:
        """Yield the epoch's batches, each of ``size`` images (or of all images, where there are fewer)."""
        rng = np.random.default_rng([self.seed, number])
        size = min(self.size, max(2, len(self.split)))
        order = balanced_order(self.split.labels, self.per_epoch * size, rng, batch=size, per_class=self.per_class)
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            labels = torch.from_numpy(self.split.labels[rows]).to(self.device)
            yield Batch(self._inputs(rows, rng), labels, torch.from_numpy(rows).to(self.device))

    def _inputs(self, rows: Labels, rng: np.random.Generator) -> Tensor:
        if self.features is not None:
            return self.features.take(rows, rng).to(self.device, non_blocking=True)
        return to_unit_float(self.augmentation(torch.from_numpy(self.split.images.take(rows)), rng), self.device)


def balanced_order(
    labels: Labels, count: int, rng: np.random.Generator, *, batch: int = 1, per_class: int = 1
) -> Labels:
    """Return ``count`` row numbers in which every class comes equally often, int64 ``(count,)``.

    The order is dealt in rounds: each round takes images of every class, the classes in random order; a class deals
    from its shuffled deck and shuffles anew when the deck is empty. So any run of consecutive rows is balanced to
    within one image a class, and large classes are seen in full before any image comes twice. A round takes one image
    of a class, or ``per_class`` in a row where a batch of ``batch`` images has no room for so many of every class.
    """
    classes = np.unique(labels)
    hand = per_class if per_class * len(classes) > batch else 1
    rounds = -(-count // (len(classes) * hand))
    dealt = np.empty((rounds, len(classes), hand), np.int64)
    for column, label in enumerate(classes):
        deck = np.flatnonzero(labels == label)
        shuffles = -(-rounds * hand // len(deck))
        cards = np.concatenate([rng.permutation(deck) for _ in range(shuffles)])[: rounds * hand]
        dealt[:, column] = cards.reshape(rounds, hand)
    turns = rng.permuted(np.broadcast_to(np.arange(len(classes)), (rounds, len(classes))), axis=1)
    return np.take_along_axis(dealt, turns[:, :, None], axis=1).reshape(-1)[:count]


def to_unit_float(pixels: Tensor, device: torch.device) -> Tensor:
    """Return uint8 ``(n, h, w, c)`` as float32 ``(n, c, h, w)`` in [0, 1] on the device, channels last in memory."""
    return pixels.to(device, non_blocking=True).permute(0, 3, 1, 2).float().div_(255.0)


def in_chunks(split: Split, device: torch.device, size: int | None = None) -> Iterator[Tensor]:
    """Yield a split in order as float32 ``(at most size, c, h, w)`` in [0, 1] on the device.

    size: by default what the device embeds fastest, 500 at most (``images_at_once``).
    """
    if size is None:
        size = images_at_once(split.images.shape.height, split.images.shape.width, device.type, most=500)
    for start in range(0, len(split), size):
        rows = np.arange(start, min(start + size, len(split)), dtype=np.int64)
        yield to_unit_float(torch.from_numpy(split.images.take(rows)), device)
