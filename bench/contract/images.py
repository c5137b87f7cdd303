"""Images, labels and ids on their way from a loader to a method."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from bench.contract.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Labels = NDArray[np.int64]
    Ids = NDArray[np.str_]
    Vectors = NDArray[np.float32]

ResizeMode = Literal["crop", "pad", "stretch"]
FIRST: Literal["first"] = "first"  # the draw that is none: classes in the data set's own order
DRAW = "split_seed"  # how a draw is called among what is chosen of the data
Draw: TypeAlias = Literal["first"] | int  # what is called a split seed


@dataclass(frozen=True)
class ImageShape:
    """The shape of an image.

    Attributes:
        height: In pixels.
        width: In pixels.
        channels: 1 for grey, 3 for colour.

    Raises:
        DataError: It is smaller than 1x1, or has another number of channels.
    """

    height: int
    width: int
    channels: int

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 1 or self.channels not in (1, 3):
            raise DataError(f"images must be at least 1x1 and have 1 or 3 channels, got {self}")

    def __str__(self) -> str:
        return f"{self.height}x{self.width}x{self.channels}"


def check_range(values: tuple[int, ...] | None) -> None:
    """Raise DataError unless these are a lowest and a highest value of 16 bits, or None."""
    if values is not None and not (len(values) == 2 and 0 <= values[0] < values[1] < 1 << 16):
        raise DataError(f"a value range is a lowest and a highest value from 0 to 65535, such as 0,4095, got {values}")


@dataclass(frozen=True)
class Resize:
    """The size that pictures of any other were brought to, and how.

    height, width: in pixels. mode: "crop" covers the size and cuts what stands out on both sides, "pad" keeps the whole
    picture and adds white borders, "stretch" changes the proportions. value_range: what is black and what is white in
    grey pictures of 16 bits; None: 0 and 65,535.
    """

    height: int
    width: int
    mode: ResizeMode = "crop"
    value_range: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        check_range(self.value_range)
        if min(self.height, self.width) < 1 or self.mode not in get_args(ResizeMode):
            raise DataError(f"pictures are resized to at least 1x1 by {', '.join(get_args(ResizeMode))}, got {self}")


@dataclass(frozen=True)
class Images:
    """Decoded images of one size: the one representation from loader to model.

    Channels come last because that is how decoders write them and because torch's fast memory format is the same
    bytes seen through ``permute(0, 3, 1, 2)``.

    Attributes:
        pixels: uint8 ``(n, height, width, channels)``, an array or a memory map, shared and never written to.
        rows: int64 row numbers into ``pixels``, or None for all of them; a subset copies no pixel.

    Raises:
        DataError: Pixels or row numbers have another type or shape.

    Example:
        >>> import numpy as np
        >>> images = Images(np.zeros((3, 28, 20, 1), np.uint8))
        >>> len(images.subset(np.array([2, 0]))), str(images.shape)
        (2, '28x20x1')
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

    Attributes:
        images: n of them.
        labels: int64 ``(n,)``, numbers into the data set's ``classes``.
        ids: str ``(n,)``; the same id in query and gallery means the same image. That they are unique within a part,
            and labels numbers of classes, is checked where a ``Collection`` is made of it.

    Raises:
        DataError: Labels or ids have another type or length.
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

    A part that the source does not have is None.

    Attributes:
        name: Of the data set.
        classes: The names that labels are numbers of.
        train: What may be learnt from.
        validation: What chooses epochs and thresholds; cut from train where there is none.
        test: What a protocol cuts into query and gallery.
        query: For sources that name their own, together with ``gallery``.
        gallery: Likewise.
        mirror: Whether a mirrored image still shows the same class (true for photographs, false for digits); only then
            do methods mirror images in training, and only then has ``mirror_test`` a meaning.
        resize: How files of any size were brought to one, None for a source whose images all have one.
        notes: What a reader of the results must know of how the images came to be these: files left out, and why. For
            people only: no code reads them.
        digest: Hex digest of all of it, which stays what it was when parts are cut; empty where nobody worked it out.

    Raises:
        DataError: There is nothing to test on, or parts differ in shape, or have an id twice or a label of no class.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    validation: Split | None = None
    test: Split | None = None
    query: Split | None = None
    gallery: Split | None = None
    mirror: bool = False
    resize: Resize | None = None
    notes: tuple[str, ...] = ()
    digest: str = ""

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
        name: Of the collection, as are ``classes``, ``mirror``, ``resize`` and ``notes``.
        protocol: What it was cut by.
        train: What is learnt from.
        validation: What chooses epochs and thresholds, never trained on.
        query: What is searched for.
        gallery: What is searched.
        fingerprint: Hex digest of everything that decides a score: pixels, labels, ids, and which part each is in.
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
    resize: Resize | None = None
    notes: tuple[str, ...] = ()
    collection_digest: str = ""

    @property
    def shape(self) -> ImageShape:
        return self.train.images.shape

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
