"""A method trained for moments on small made-up images: what its promises are checked on."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from bench.contract import Budget, Images, ImageShape, Method, RunContext, SimbenchError, Split
from bench.evaluation.inference.embed import embed_images
from bench.evaluation.ranking.arrays import Vectors
from bench.options import build
from bench.runs.fitting import MemoryHistory
from bench.training.checkpoints import FolderCheckpoints

# Settings of the whole process: how each is read and, where that is possible, set.
_SETTINGS: Mapping[str, tuple[Callable[[], Any], Callable[[Any], object] | None]] = {
    "default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "default device": (torch.get_default_device, None),
    "gradients": (torch.is_grad_enabled, torch.set_grad_enabled),
    "threads": (torch.get_num_threads, torch.set_num_threads),
    "deterministic": (torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms),
}


@dataclass(frozen=True)
class Surroundings:
    """Settings of the whole process; a method that changes one changes the methods that run after it."""

    settings: Mapping[str, Any]

    @classmethod
    def now(cls) -> Surroundings:
        return cls({name: read() for name, (read, _) in _SETTINGS.items()})

    def changes(self) -> tuple[str, ...]:
        """Return what is different now, in words."""
        pairs = [(name, before, _SETTINGS[name][0]()) for name, before in self.settings.items()]
        return tuple(f"torch's {name} ({before} to {now})" for name, before, now in pairs if before != now)

    def put_back(self) -> None:
        """Undo every change, so that one method's fault is not the next one's finding."""
        for name, (read, write) in _SETTINGS.items():
            if write is not None and read() != self.settings[name]:
                write(self.settings[name])


T = TypeVar("T")

_CLOSE = 1e-3  # largest difference of two components that counts as equal
CPU = torch.device("cpu")
GREY, COLOUR = ImageShape(28, 28, 1), ImageShape(13, 20, 3)


@dataclass(frozen=True)
class Trial:
    """A fitted method, what it learnt from, that split's unit vectors, and what ``fit`` changed beside the method."""

    method: Method
    split: Split
    vectors: Vectors
    changed: tuple[str, ...]

    @property
    def shape(self) -> ImageShape:
        return self.split.images.shape


def fresh(cls: type[Method]) -> Method:
    """Return a new object of a method with its default options."""
    return build(cls, {}, owner=f"method {cls.__name__}")


def try_out(
    cls: type[Method],
    shape: ImageShape,
    *,
    classes: int = 3,
    count: int = 24,
    validation: int = 12,
    seed: int = 0,
    process_seed: int = 0,
    relabelled: bool = False,
    device: torch.device = CPU,
) -> Trial:
    """Fit a method with its default options and embed what it learnt from. Raises what the method raises.

    seed: the run's; process_seed: of the generators that the process shares, which must not matter; relabelled: the
    same labels are dealt to the images otherwise.
    """
    train, seen = made_up(shape, classes, count, 0), made_up(shape, classes, validation, 1)
    if relabelled:
        train, seen = (replace(part, labels=np.sort(part.labels)) for part in (train, seen))
    method, before = fresh(cls), train.images.pixels.copy()
    with tempfile.TemporaryDirectory() as folder:
        context = RunContext(
            seed=seed,
            device=device,
            classes=tuple(map(str, range(classes))),
            mirror=True,
            budget=Budget(epochs=0.015),  # three steps
            checkpoints=FolderCheckpoints(Path(folder)),
            history=MemoryHistory(),
            progress=_no_bar,
            log=lambda line: None,
        )
        _seed_process(process_seed)
        found = Surroundings.now()
        method.fit(train, seen, context)
        changed = found.changes()
    if not np.array_equal(before, train.images.pixels):
        changed = (*changed, "the training images")
    vectors = embed_images(method, train.images, device=device)
    return Trial(method, train, vectors, changed)


def made_up(shape: ImageShape, classes: int, count: int, seed: int) -> Split:
    """Return images of class-dependent brightness and slope with noise: easy, and no two alike."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int64) % classes
    slope = np.linspace(-1, 1, shape.width)[None, None, :, None]
    base = 90 + 40 * labels[:, None, None, None] * slope
    noise = rng.normal(0, 25, (count, shape.height, shape.width, shape.channels))
    pixels = np.clip(base + noise + 20, 0, 255).astype(np.uint8)
    return Split(Images(pixels), labels, np.array([f"{seed}/{row}" for row in range(count)], dtype=np.str_))


def require_same(left: Vectors, right: Vectors, what: str = "unit vectors") -> None:
    """Raise SimbenchError unless two arrays are equal to within what batch sizes and half precision explain."""
    if left.shape != right.shape:
        raise SimbenchError(f"shapes differ: {left.shape} and {right.shape}")
    worst = float(np.abs(left - right).max())
    if not worst <= _CLOSE:  # so written, not-a-number fails too
        raise SimbenchError(f"{what} differ by up to {worst:.2g}")


def _seed_process(seed: int) -> None:
    for seeded in (random.seed, np.random.seed, torch.manual_seed):
        seeded(seed)


def _no_bar(items: Iterable[T], *, total: int, what: str) -> Iterable[T]:
    return items
