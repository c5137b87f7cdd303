"""What a loader gives, and what a protocol cuts of it: parts of images, with what is known of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from bench.contract.errors import DataError
from bench.contract.images import ImageShape, Resize, Size, Split
from bench.contract.relevance import Relevance


@dataclass(frozen=True)
class Collection:
    """What a loader gives: named parts with their upstream meaning, before a protocol cuts query and gallery.

    A part that the source does not have is None.

    Attributes:
        name: Of the data set.
        classes: The names that labels are numbers of.
        train: What may be learnt from; it may be empty.
        validation: What chooses epochs and thresholds; cut from train where there is none.
        test: What a protocol cuts into query and gallery.
        query: For sources that name their own, together with ``gallery``. It alone may have ``relevance``.
        gallery: Likewise.
        mirror: Whether a mirrored image still shows the same class (true for photographs, false for digits); only then
            do methods mirror images in training, and only then has ``mirror_test`` a meaning.
        notes: What a reader of the results must know of how the images came to be these: files left out, and why. For
            people only: no code reads them.
        metrics: Names of metrics that its benchmark reports and that are not worked out elsewhere, such as "mp@k".
        digest: Hex digest of all of it, which stays what it was when parts are cut; empty where nobody worked it out.
        protocol: The one that "auto" stands for; empty for ``given`` where it names queries, else ``holdout``.
        ks: The depths k of metrics@k where nobody asks for others: those that its papers report.

    Raises:
        DataError: There is nothing to test on; parts differ in shape, or have an id twice or a label of no class; or
            relevance names an item that is not in the gallery, or stands where nobody reads it.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    validation: Split | None = None
    test: Split | None = None
    query: Split | None = None
    gallery: Split | None = None
    mirror: bool = False
    notes: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    digest: str = ""
    protocol: str = ""
    ks: tuple[int, ...] = (1, 10, 50)

    def __post_init__(self) -> None:
        if (self.query is None) != (self.gallery is None):
            raise DataError(f"{self.name}: a data set gives both a query and a gallery part, or neither")
        if self.test is None and self.query is None:
            raise DataError(f"{self.name}: nothing to test on; give a test part, or a query and a gallery part")
        shapes = {part.images.shape for part in self.parts().values()}
        if len(shapes) > 1:
            raise DataError(f"{self.name}: its parts have different image shapes: {', '.join(map(str, shapes))}")
        for name, part in self.parts().items():
            wrong = (part.labels < 0) | (part.labels >= len(self.classes))
            if wrong.any():
                label = part.labels[wrong][0]
                raise DataError(
                    f"{self.name}: its {name} part has label {label}, but there are {len(self.classes)} classes"
                )
            if len(set(part.ids.tolist())) < len(part):
                twice = next(one for one, count in Counter(part.ids.tolist()).items() if count > 1)
                raise DataError(f"{self.name}: its {name} part has the id {twice!r} twice")
            if part.relevance is not None:
                self._check_relevance(name, part, part.relevance)

    def _check_relevance(self, name: str, part: Split, relevance: Relevance) -> None:
        if name != "query" or self.gallery is None:
            raise DataError(f"{self.name}: its {name} part has relevance; only the query part says what it looks for")
        if part.groups is not None and relevance.positives is not None:
            raise DataError(
                f"{self.name}: its query part has groups and positives; list what is ignored in their place"
            )
        unknown = relevance.named - set(self.gallery.ids.tolist())
        if unknown:
            raise DataError(f"{self.name}: its relevance names {min(unknown)!r}, which is not in the gallery")

    def parts(self) -> dict[str, Split]:
        """Return the parts that exist, by name."""
        names = ("train", "validation", "test", "query", "gallery")
        return {name: part for name in names if (part := getattr(self, name)) is not None}


@dataclass(frozen=True)
class EvaluationProtocol:
    """How a collection is cut into what a method is trained on and what it is evaluated on.

    description: one line. needs: the collection's parts that it is cut from. gallery_is_train: the gallery is what was
    trained on. query_in_gallery: each query is in the gallery too, under the same id, and is no answer to itself.
    draws_classes: the classes to test on are drawn, and may be the second half in the data set's own order.
    cut: of a collection and a seed, or of a ``Draw`` where classes are drawn; returns it with a query and a gallery
    part, and with what is left to train on.
    """

    name: str
    description: str
    needs: tuple[str, ...]
    cut: Callable[[Collection, Any], Collection] = field(repr=False, compare=False)
    gallery_is_train: bool = False
    query_in_gallery: bool = False
    draws_classes: bool = False

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Dataset:
    """A collection cut by a protocol: what a method learns from, and what it is asked about.

    Attributes:
        name: Of the collection, as are ``classes``, ``mirror``, ``notes``, ``metrics`` and ``ks``.
        protocol: What it was cut by.
        train: What is learnt from; it may be empty.
        validation: What chooses epochs and thresholds, never trained on.
        query: What is searched for.
        gallery: What is searched.
        fingerprint: Hex digest of what is asked: pictures as they came, labels, ids, and which part each is in. At
            every size it is the same.
        collection_digest: The collection's own, the same whatever was cut of it.
    """

    name: str
    protocol: EvaluationProtocol
    classes: tuple[str, ...]
    train: Split
    validation: Split
    query: Split
    gallery: Split
    mirror: bool
    fingerprint: str
    notes: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    collection_digest: str = ""
    ks: tuple[int, ...] = (1, 10, 50)

    @property
    def shape(self) -> ImageShape:
        return self.query.images.shape

    @property
    def resize(self) -> Resize | None:
        """How picture files were brought to this shape; None for an array, whose images all came in it."""
        files = self.query.images.files
        return None if files is None else files.resize

    def at(self, size: Size) -> Dataset:
        """Return the data with pictures at a (height, width); nothing is decoded yet, and arrays stay as they are."""
        sized: dict[int, Split] = {}  # of leave-one-out, query and gallery stay one
        parts = {name: sized.setdefault(id(part), part.at(size)) for name, part in self.parts().items()}
        return replace(self, **parts)  # type: ignore[arg-type] # parts are splits

    def parts(self) -> dict[str, Split]:
        """Return the four parts by name."""
        return {"train": self.train, "validation": self.validation, "query": self.query, "gallery": self.gallery}

    @property
    def learnt_classes(self) -> tuple[str, ...]:
        """The classes with images in train or validation, in the order of ``classes``."""
        return tuple(self.classes[label] for label in sorted(_labels(self.train) | _labels(self.validation)))

    @property
    def seen_classes(self) -> bool | None:
        """Whether the classes asked for are learnt ones: all (True), none (False: all are new), or some (None)."""
        asked, learnt = _labels(self.query), _labels(self.train) | _labels(self.validation)
        return True if asked <= learnt else None if asked & learnt else False


def _labels(part: Split) -> set[int]:
    return set(part.labels.tolist())
