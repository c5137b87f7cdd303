"""What a data set plugin is given and what it promises."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from bench.contract.datasets import Collection
from bench.contract.runs import Progress


@dataclass(frozen=True)
class DataPlace:
    """Where a loader may look and write.

    Attributes:
        root: ``--data-root``, looked at first.
        cache: Our folder in the user's cache directory, where downloads and decoded images go.
        download: Whether a missing data set may be fetched.
        broken: What to do with files that cannot be decoded: "few" leaves them out with a warning while they are at
            most 1 % (more is a sign of something else), "none" refuses any, "any" leaves out however many.
        progress: Wraps an iterable in a bar.
        decoder: Of picture files: "pillow", or "torchcodec" for JPEG files, many at once.
        decodes_on: The device that TorchCodec decodes on, as torch calls it.
    """

    root: Path | None
    cache: Path
    download: bool = True
    broken: Literal["few", "none", "any"] = "few"
    progress: Progress | None = None
    decoder: Literal["pillow", "torchcodec"] = "pillow"
    decodes_on: str = "cpu"


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


@dataclass(frozen=True)
class Card:
    """What a user should know of a data set before trusting a number on it.

    what: one sentence; images: how many, of what size and colour; classes: how many, of what; splits: upstream's parts
    and their sizes; licence: as upstream states it; source: paper and address; problems: known flaws of the data.
    """

    what: str
    images: str
    classes: str
    splits: str
    licence: str
    source: str
    problems: str = "none known"


@runtime_checkable
class Described(Protocol):
    """Ability of a loader: it has a card."""

    @property
    def card(self) -> Card: ...


def card_of(loader: Loader) -> Card | None:
    """Return a loader's card, or None where it has none (own images): the one place that asks."""
    return loader.card if isinstance(loader, Described) else None
