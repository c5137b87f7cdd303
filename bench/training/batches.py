"""Class-balanced batches of images, gathered and augmented as whole tensors, or of features computed before.

On a processor each batch is drawn, gathered and augmented there. On a card the draws are the same, sent for many
batches at once; the pixels lie there already or are read ahead; a batch is a gather, and nothing waits for its values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from bench.contract import Images, MethodError, Split
from bench.devices import fetches
from bench.environment import images_at_once
from bench.training.augment import UNCHANGED, Augmentation, Draws
from bench.training.resident import resident_pixels, resident_values
from bench.uploads import sent, unit_floats, uploaded

if TYPE_CHECKING:
    from bench.contract import Labels


_SHORTEST_EPOCH = 200
_DRAWN_AHEAD = 8192  # images whose draws are sent to a card at once


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

    def plain(self, device: torch.device | None = None) -> Tensor:
        """Return the features of the images as they are, float32 ``(n, features)``.

        device: where they are to be used; they are there already where that is a card and they fit.
        """
        there = None if device is None else resident_values(self.views, device)
        return (self.views if there is None else there)[0].float()

    def take(self, rows: Labels, rng: np.random.Generator) -> Tensor:
        """Return the features of some images, float32 ``(k, features)``, each in a view of its own draw."""
        return self.views[self.draw(len(rows), rng), rows].float()

    def draw(self, count: int, rng: np.random.Generator) -> Labels:
        """Return which view each of some images is shown in, int64 ``(count,)``."""
        return rng.integers(len(self.views), size=count)


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
        steps = [order[start : start + size] for start in range(0, len(order), size)]
        yield from self._sent_ahead(steps, rng) if fetches(self.device) else self._in_turn(steps, rng)

    def _in_turn(self, steps: list[Labels], rng: np.random.Generator) -> Iterator[Batch]:
        for rows in steps:
            if self.features is not None:
                inputs = sent(self.features.take(rows, rng), self.device)
            else:
                inputs = to_unit_float(self._augmented(rows, rng), self.device)
            labels = torch.from_numpy(self.split.labels[rows])
            yield Batch(inputs, sent(labels, self.device), sent(torch.from_numpy(rows), self.device))

    def _augmented(self, rows: Labels, rng: np.random.Generator) -> Tensor:
        return self.augmentation(taken(self.split.images, rows), rng)

    def _sent_ahead(self, steps: list[Labels], rng: np.random.Generator) -> Iterator[Batch]:
        if self.features is not None:
            yield from self._viewed(self.features, steps, rng)
        elif self.augmentation.gathers:
            yield from self._gathered(steps, rng)
        else:  # torchvision's policies draw from a generator of the whole process, so that no thread may run them
            reads = (partial(self._augmented, rows, rng) for rows in steps)
            facts = self._facts(steps, lambda rows: np.empty((0, len(rows)), np.int64), lambda _: ())
            with closing(uploaded(reads, _bytes(self.split.images, steps), self.device, ahead=False)) as augmented:
                for pixels, (rows, labels, _) in zip(augmented, facts, strict=True):
                    yield Batch(to_unit_float(pixels, self.device), labels, rows)

    def _viewed(self, features: Features, steps: list[Labels], rng: np.random.Generator) -> Iterator[Batch]:
        drawn = [features.draw(len(rows), rng) for rows in steps]  # all now: a thread may read ahead of what is sent
        draws = iter(drawn)
        facts = self._facts(steps, lambda _: next(draws)[None], tuple)
        resident = resident_values(features.views, self.device)
        if resident is not None:
            for rows, labels, (view,) in facts:
                yield Batch(resident[view, rows].float(), labels, rows)
            return
        views = features.views
        reads = (partial(views.__getitem__, shown) for shown in zip(drawn, steps, strict=True))
        shape = (len(steps[0]), *views.shape[2:])
        with closing(uploaded(reads, shape, self.device, ahead=True, dtype=views.dtype)) as read:
            for inputs, (rows, labels, _) in zip(read, facts, strict=True):
                yield Batch(inputs.float(), labels, rows)

    def _gathered(self, steps: list[Labels], rng: np.random.Generator) -> Iterator[Batch]:
        images, augmentation = self.split.images, self.augmentation
        height, width = images.shape.height, images.shape.width
        facts = self._facts(
            steps,
            lambda rows: augmentation.draw(len(rows), height, width, rng),
            lambda draws: augmentation.prepared(draws, height, width),
        )
        resident = resident_pixels(images, self.device)
        if resident is not None:
            for rows, labels, prepared in facts:
                yield Batch(to_unit_float(augmentation.gathered(resident, rows, *prepared), self.device), labels, rows)
            return
        reads, every = (partial(taken, images, rows) for rows in steps), torch.arange(len(steps[0]), device=self.device)
        with closing(uploaded(reads, _bytes(images, steps), self.device, ahead=True)) as read:
            for pixels, (rows, labels, prepared) in zip(read, facts, strict=True):
                yield Batch(to_unit_float(augmentation.gathered(pixels, every, *prepared), self.device), labels, rows)

    def _facts(
        self,
        steps: list[Labels],
        draw: Callable[[Labels], Draws],
        prepare: Callable[[Tensor], tuple[Tensor, ...]],
    ) -> Iterator[tuple[Tensor, Tensor, tuple[Tensor, ...]]]:
        """Yield each batch's rows, labels and prepared draws on the device, sent there for many batches at once.

        draw: of a batch, int64 ``(k, n)``; prepare: of many, into tensors of one row an image.
        """
        size = len(steps[0])
        many = max(1, _DRAWN_AHEAD // size)
        for first in range(0, len(steps), many):
            some = steps[first : first + many]
            rows = np.concatenate(some)
            drawn = np.concatenate([draw(one) for one in some], axis=1)
            table = np.concatenate([np.stack([rows, self.split.labels[rows]]), drawn])
            there = sent(torch.from_numpy(table), self.device)
            parts = (there[0], there[1], *prepare(there[2:]))
            for start in range(0, len(rows), size):
                shown, labels, *prepared = (part[start : start + size] for part in parts)
                yield shown, labels, tuple(prepared)


def taken(images: Images, rows: Labels) -> Tensor:
    """Return some images on the host, uint8 ``(k, h, w, c)``."""
    return torch.from_numpy(images.take(rows))


def _bytes(images: Images, steps: list[Labels]) -> tuple[int, ...]:
    """Return the shape of the largest batch's pixels."""
    return (len(steps[0]), images.shape.height, images.shape.width, images.shape.channels)


def balanced_order(
    labels: Labels, count: int, rng: np.random.Generator, *, batch: int = 1, per_class: int = 1
) -> Labels:
    """Return ``count`` row numbers in which every class comes equally often, int64 ``(count,)``.

    The order is dealt in rounds: each round takes images of every class, the classes in random order; a class deals
    from its shuffled deck and shuffles anew when the deck is empty. So any run of consecutive rows is balanced to
    within one image a class, and large classes are seen in full before any image comes twice. A round takes one image
    of a class, or ``per_class`` in a row where a batch of ``batch`` images has no room for so many of every class.
    """
    classes, sizes = np.unique(labels, return_counts=True)
    decks = np.split(np.argsort(labels, kind="stable"), np.cumsum(sizes)[:-1])
    hand = per_class if per_class * len(classes) > batch else 1
    rounds = -(-count // (len(classes) * hand))
    dealt = np.empty((rounds, len(classes), hand), np.int64)
    for column, deck in enumerate(decks):
        shuffles = -(-rounds * hand // len(deck))
        cards = np.concatenate([rng.permutation(deck) for _ in range(shuffles)])[: rounds * hand]
        dealt[:, column] = cards.reshape(rounds, hand)
    turns = rng.permuted(np.broadcast_to(np.arange(len(classes)), (rounds, len(classes))), axis=1)
    return np.take_along_axis(dealt, turns[:, :, None], axis=1).reshape(-1)[:count]


def to_unit_float(pixels: Tensor, device: torch.device) -> Tensor:
    """Return uint8 ``(n, h, w, c)`` as float32 ``(n, c, h, w)`` in [0, 1] on the device, channels last in memory."""
    return unit_floats(pixels.to(device, non_blocking=True))


def in_chunks(split: Split, device: torch.device, size: int | None = None, *, keep: bool = False) -> Iterator[Tensor]:
    """Yield a split in order as float32 ``(at most size, c, h, w)`` in [0, 1] on the device.

    size: by default what the device embeds fastest, 500 at most (``images_at_once``). keep: whether a card is to have
    the pixels for the next time, where they fit; those that lie there are used in any case, and others read ahead.
    """
    if size is None:
        size = images_at_once(split.images.shape.height, split.images.shape.width, device.type, most=500)
    resident = resident_pixels(split.images, device, put=keep)
    steps = [np.arange(at, min(at + size, len(split)), dtype=np.int64) for at in range(0, len(split), size)]
    if resident is not None:
        for rows in steps:
            yield to_unit_float(resident[rows[0] : rows[-1] + 1], device)
        return
    reads = (partial(taken, split.images, rows) for rows in steps)
    if steps and fetches(device):
        with closing(uploaded(reads, _bytes(split.images, steps), device, ahead=True)) as read:
            for pixels in read:
                yield to_unit_float(pixels, device)
        return
    for one in reads:
        yield to_unit_float(one(), device)
