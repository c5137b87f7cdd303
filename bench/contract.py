"""The nouns that travel between the stages, and the promises a plugin makes.

Every object here is frozen and checks itself when it is made, so that a later stage never has to ask again.
This module imports nothing of ours and neither torch nor numpy at run time: listing and ``--help`` stay fast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    Pixels = NDArray[np.uint8]
    Labels = NDArray[np.int64]
    Ids = NDArray[np.str_]
    Vectors = NDArray[np.float32]

T = TypeVar("T")


# ---------------------------------------------------------------------------------------------- errors


class SimbenchError(Exception):
    """Something failed; the message is one line that says what, where, and what to do. Exit code 1."""

    exit_code = 1


class UsageError(SimbenchError):
    """The user asked for something that does not exist or cannot be. Exit code 2."""

    exit_code = 2


class DataError(SimbenchError):
    """A data set is missing, broken, or does not fit what is asked of it."""


class MethodError(SimbenchError):
    """A method broke its promise: wrong shapes, vectors that are not numbers, a training that diverged."""


# ---------------------------------------------------------------------------------------------- images


@dataclass(frozen=True)
class ImageShape:
    """Height and width in pixels, and channels (1 grey, 3 colour)."""

    height: int
    width: int
    channels: int

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 1 or self.channels not in (1, 3):
            raise DataError(f"images must be at least 1x1 and have 1 or 3 channels, got {self}")

    def __str__(self) -> str:
        return f"{self.height}x{self.width}x{self.channels}"


@dataclass(frozen=True)
class Images:
    """Decoded images of one size: the one representation from loader to model.

    pixels: uint8 ``(n, height, width, channels)``, an array or a memory map, shared and never written to.
    rows: int64 row numbers into ``pixels``, or None for all of them; a subset copies no pixel.

    Channels come last because that is how decoders write them and because torch's fast memory format is the same
    bytes seen through ``permute(0, 3, 1, 2)``.
    """

    pixels: Pixels
    rows: Labels | None = None

    def __post_init__(self) -> None:
        if self.pixels.ndim != 4 or self.pixels.dtype.name != "uint8":
            raise DataError(
                f"images must be uint8 (n, height, width, channels), got {self.pixels.dtype} {self.pixels.shape}"
            )
        if self.rows is not None and (self.rows.ndim != 1 or self.rows.dtype.name != "int64"):
            raise DataError(f"row numbers must be int64 (n,), got {self.rows.dtype} {self.rows.shape}")
        ImageShape(*self.pixels.shape[1:])

    def __len__(self) -> int:
        return len(self.pixels) if self.rows is None else len(self.rows)

    @property
    def shape(self) -> ImageShape:
        return ImageShape(*self.pixels.shape[1:])

    def take(self, index: Labels | slice) -> Pixels:
        """Return the chosen images, uint8 ``(k, height, width, channels)``; a copy unless all rows are in one slice."""
        return self.pixels[index] if self.rows is None else self.pixels[self.rows[index]]

    def subset(self, index: Labels) -> Images:
        return Images(self.pixels, index if self.rows is None else self.rows[index])


@dataclass(frozen=True)
class Split:
    """Images with a label and an id each.

    labels: int64 ``(n,)``, numbers into the data set's ``classes``.
    ids: str ``(n,)``, unique within the split; the same id in query and gallery means the same image.
    """

    images: Images
    labels: Labels
    ids: Ids

    def __post_init__(self) -> None:
        n = len(self.images)
        if self.labels.shape != (n,) or self.ids.shape != (n,):
            raise DataError(f"{n} images, but labels {self.labels.shape} and ids {self.ids.shape}")
        if self.labels.dtype.name != "int64" or self.ids.dtype.kind != "U":
            raise DataError(f"labels must be int64 and ids text, got {self.labels.dtype} and {self.ids.dtype}")

    def __len__(self) -> int:
        return len(self.images)

    def subset(self, index: Labels) -> Split:
        return Split(self.images.subset(index), self.labels[index], self.ids[index])


@dataclass(frozen=True)
class Collection:
    """What a loader gives: named parts with their upstream meaning, before a protocol cuts query and gallery.

    A part that the source does not have is None. ``query`` and ``gallery`` are for sources that name their own.
    mirror: whether a mirrored image still shows the same class (true for photographs, false for digits); only then
    do methods mirror images in training and average over mirrored images when they embed.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    validation: Split | None = None
    test: Split | None = None
    query: Split | None = None
    gallery: Split | None = None
    mirror: bool = False

    def __post_init__(self) -> None:
        if (self.query is None) != (self.gallery is None):
            raise DataError(f"{self.name}: a data set gives both a query and a gallery part, or neither")
        if self.test is None and self.query is None:
            raise DataError(f"{self.name}: nothing to test on; give a test part, or a query and a gallery part")
        shapes = {part.images.shape for part in self.parts().values()}
        if len(shapes) > 1:
            raise DataError(f"{self.name}: its parts have different image shapes: {', '.join(map(str, shapes))}")

    def parts(self) -> dict[str, Split]:
        """Return the parts that exist, by name."""
        named = {
            "train": self.train,
            "validation": self.validation,
            "test": self.test,
            "query": self.query,
            "gallery": self.gallery,
        }
        return {name: part for name, part in named.items() if part is not None}


@dataclass(frozen=True)
class Dataset:
    """A collection cut by a protocol: what a method learns from, and what it is asked about.

    fingerprint: hex digest of everything that decides a score: pixels, labels, ids, and which part each is in.
    """

    name: str
    protocol: str
    classes: tuple[str, ...]
    train: Split
    validation: Split
    query: Split
    gallery: Split
    mirror: bool
    fingerprint: str

    @property
    def shape(self) -> ImageShape:
        return self.train.images.shape


@dataclass(frozen=True)
class DataPlace:
    """Where a loader may look and write.

    root: ``--data-root``, looked at first; cache: our folder in the user's cache directory, where downloads and decoded
    images go; download: whether a missing data set may be fetched; image_size: (height, width) that own images are
    resized to, or None for the loader's default; progress: wraps an iterable in a bar.
    """

    root: Path | None
    cache: Path
    download: bool = True
    image_size: tuple[int, int] | None = None
    progress: Progress | None = None


@runtime_checkable
class Loader(Protocol):
    """A data set plugin: one file in ``datasets/``, a dataclass whose fields are its options."""

    def load(self, place: DataPlace) -> Collection:
        """Return the images. Raises DataError with what is missing and how to provide it."""
        ...


@runtime_checkable
class Fetches(Protocol):
    """Ability of a loader: get the files it needs, and say where they are."""

    def fetch(self, place: DataPlace) -> Path: ...


# ---------------------------------------------------------------------------------------------- training


class Progress(Protocol):
    """Wraps an iterable in a progress bar (or in nothing, where there is no terminal)."""

    def __call__(self, items: Iterable[T], *, total: int, what: str) -> Iterable[T]: ...


class History(Protocol):
    """The training curve of a run: one row an epoch, numbers by name, kept as ``history.csv``."""

    def add(self, row: Mapping[str, float | int | str]) -> None: ...

    def rows(self) -> Sequence[Mapping[str, float | int | str]]: ...

    def replace(self, rows: Sequence[Mapping[str, float | int | str]]) -> None:
        """Start again from the rows that a checkpoint recorded."""
        ...


class Checkpoints(Protocol):
    """Named sets of tensors that survive a kill. Saving is atomic; loading a missing one gives None."""

    def save(self, name: str, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None: ...

    def load(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None: ...


@dataclass(frozen=True)
class Budget:
    """How long a method may train: its own default, or so many epochs, or so many seconds.

    epochs: the sum over a method's phases, which share it in their default proportion; seconds: wall time of the whole
    fit, turned into epochs by a short measurement; phases: which phases to run, None for all.
    """

    epochs: float | None = None
    seconds: float | None = None
    phases: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        for name, value in (("epochs", self.epochs), ("seconds", self.seconds)):
            if value is not None and not value > 0:
                raise UsageError(f"{name} must be above 0, got {value:g}")
        if self.epochs is not None and self.seconds is not None:
            raise UsageError("give --epochs or --budget, not both")


@dataclass(frozen=True)
class FitContext:
    """What a method may use while it fits: the ``run`` argument of ``fit``."""

    seed: int
    device: torch.device
    classes: tuple[str, ...]
    mirror: bool
    budget: Budget
    checkpoints: Checkpoints
    history: History
    progress: Progress
    log: Callable[[str], None]


# ---------------------------------------------------------------------------------------------- methods


@runtime_checkable
class Method(Protocol):
    """A contestant: one file in ``methods/``, a dataclass whose fields are its options.

    ``embed`` takes float32 ``(n, channels, height, width)`` in [0, 1] on the run's device and returns floating-point
    ``(n, d)`` in any scale; the harness makes it float32 and L2-normalises it. It must not depend on what else is in
    the batch.
    """

    def fit(self, train: Split, validation: Split, run: FitContext) -> None: ...

    def embed(self, pixels: Tensor) -> Tensor: ...


@runtime_checkable
class Decodes(Protocol):
    """Ability of a method: turn unit vectors ``(n, d)`` back into images ``(n, channels, height, width)`` in [0, 1].

    ``can_decode`` is false where this run trained no decoder (``--phases 1``).
    """

    @property
    def can_decode(self) -> bool: ...

    def decode(self, vectors: Tensor) -> Tensor: ...


@runtime_checkable
class Saves(Protocol):
    """Ability of a method: its fitted state as tensors, and back again on a fresh object with the same options."""

    def state(self) -> Mapping[str, Tensor]: ...

    def restore(self, state: Mapping[str, Tensor], shape: ImageShape, device: torch.device) -> None: ...


@runtime_checkable
class Counts(Protocol):
    """Ability of a method: how many learnt numbers an embedding takes (decoders and heads not counted)."""

    def count_parameters(self) -> int: ...


def decoder_of(method: Method) -> Decodes | None:
    """Return the method as one that decodes, or None: the one place that asks."""
    return method if isinstance(method, Decodes) and method.can_decode else None


def saver_of(method: Method) -> Saves | None:
    """Return the method as one that saves its state, or None: the one place that asks."""
    return method if isinstance(method, Saves) else None


def parameters_of(method: Method) -> int | None:
    """Return the learnt numbers an embedding takes, or None where the method does not say: the one place that asks."""
    return method.count_parameters() if isinstance(method, Counts) else None


# ---------------------------------------------------------------------------------------------- runs


@dataclass(frozen=True)
class RunSpec:
    """Everything that decides what a run computes, its seed apart.

    fingerprint: of the data, whatever loader and options it came through; options: every field of the method, defaults
    included, so that a changed default is a different run.
    """

    dataset: str
    protocol: str
    method: str
    fingerprint: str
    options: Mapping[str, Any] = field(default_factory=dict)
    budget: Budget = field(default_factory=Budget)
    device: str = "cpu"
    ks: tuple[int, ...] = (1, 10, 50)
    ties: str = "pessimistic"
