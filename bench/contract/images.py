"""Images, labels and ids on their way from a loader to a method."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, get_args, runtime_checkable

from bench.contract.errors import DataError
from bench.contract.relevance import Relevance

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Labels = NDArray[np.int64]
    Ids = NDArray[np.str_]
    Vectors = NDArray[np.float32]

Size: TypeAlias = tuple[int, int]  # height, width
ResizeMode = Literal["crop", "pad", "stretch"]
FIRST: Literal["first"] = "first"  # the draw that is none: classes in the data set's own order
DRAW = "split_seed"  # how a draw is called among what is chosen of the data
LEAVES_NONE_OUT = frozenset({DRAW, "decoder"})  # what may be chosen of the data and leaves none of them out
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


@runtime_checkable
class LazyPixels(Protocol):
    """What ``Images`` may hold in place of an array: pictures in files, which are decoded when they are asked for.

    Attributes:
        shape: ``(n, height, width, channels)``.
        contents: uint8 ``(n, 16)``, a digest of each file, the same at every size.
        own: Whether all files have this size, and it is a small one.
        decoder: What decodes them, nothing for Pillow: another decoder's pixels are other data.
        as_loaded: The same pictures at the size that does not depend on who asks: their own, or 64x64.
        resize: How files of any other size are brought to this one.
    """

    own: bool
    ndim: int

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[np.uint8]: ...

    @property
    def contents(self) -> Pixels: ...

    @property
    def decoder(self) -> str: ...

    @property
    def as_loaded(self) -> LazyPixels: ...

    @property
    def resize(self) -> Resize: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any) -> Pixels: ...

    def decoded(self) -> Pixels:
        """Return all of them as an array, which is a map of a file, after decoding them if nobody did before."""
        ...

    def at(self, size: Size) -> LazyPixels:
        """Return the same pictures at another (height, width)."""
        ...


@dataclass(frozen=True)
class Images:
    """Images of one size: the one representation from loader to model.

    Channels come last because that is how decoders write them and because torch's fast memory format is the same
    bytes seen through ``permute(0, 3, 1, 2)``.

    Attributes:
        source: uint8 ``(n, height, width, channels)``, an array or a memory map, shared and never written to; or the
            pixels of files.
        rows: int64 row numbers into the source, or None for all of them; a subset copies no pixel.

    Raises:
        DataError: Pixels or row numbers have another type or shape.

    Example:
        >>> import numpy as np
        >>> images = Images(np.zeros((3, 28, 20, 1), np.uint8))
        >>> len(images.subset(np.array([2, 0]))), str(images.shape)
        (2, '28x20x1')
    """

    source: Pixels | LazyPixels
    rows: Labels | None = None

    def __post_init__(self) -> None:
        if self.source.ndim != 4 or self.source.dtype.name != "uint8":
            raise DataError(
                f"images must be uint8 (n, height, width, channels), got {self.source.dtype} {self.source.shape}"
            )
        if self.rows is not None and (self.rows.ndim != 1 or self.rows.dtype.name != "int64"):
            raise DataError(f"row numbers must be int64 (n,), got {self.rows.dtype} {self.rows.shape}")
        ImageShape(*self.source.shape[1:])

    def __len__(self) -> int:
        return len(self.source) if self.rows is None else len(self.rows)

    @property
    def shape(self) -> ImageShape:
        return ImageShape(*self.source.shape[1:])

    @property
    def pixels(self) -> Pixels:
        """All of the source's pixels, those of files decoded now if nobody did before."""
        return self.source.decoded() if isinstance(self.source, LazyPixels) else self.source

    @property
    def files(self) -> LazyPixels | None:
        """The pixels as those of files, which can be had at other sizes; None for an array."""
        return self.source if isinstance(self.source, LazyPixels) else None

    def at(self, size: Size) -> Images:
        """Return the images at a (height, width): those of files brought to it, those of an array as they are."""
        files = self.files
        return self if files is None else Images(files.at(size), self.rows)

    @property
    def as_loaded(self) -> Images:
        """The images at the size that does not depend on what a method wants to see."""
        return self if self.files is None else Images(self.files.as_loaded, self.rows)

    def take(self, index: Labels | slice) -> Pixels:
        """Return the chosen images, uint8 ``(k, height, width, channels)``; a copy unless all rows are in one slice."""
        return self.source[index] if self.rows is None else self.source[self.rows[index]]

    def subset(self, index: Labels) -> Images:
        return Images(self.source, index if self.rows is None else self.rows[index])


@dataclass(frozen=True)
class Split:
    """Images with a label and an id each.

    Attributes:
        images: n of them.
        labels: int64 ``(n,)``, numbers into the data set's ``classes``.
        ids: str ``(n,)``; the same id in query and gallery means the same image. That they are unique within a part,
            and labels numbers of classes, is checked where a ``Collection`` is made of it.
        groups: str ``(n,)``, such as the camera: a query does not see items of its own label and its own group. The
            empty text is no group; None: there are none.
        relevance: What each image looks for, where it is a query and its label alone does not say it.

    Raises:
        DataError: Labels, ids, groups or relevance have another type or length.
    """

    images: Images
    labels: Labels
    ids: Ids
    groups: Ids | None = None
    relevance: Relevance | None = None

    def __post_init__(self) -> None:
        n = len(self.images)
        if self.labels.shape != (n,) or self.ids.shape != (n,):
            raise DataError(f"{n} images, but labels {self.labels.shape} and ids {self.ids.shape}")
        if self.labels.dtype.name != "int64" or self.ids.dtype.kind != "U":
            raise DataError(f"labels must be int64 and ids text, got {self.labels.dtype} and {self.ids.dtype}")
        if self.groups is not None and (self.groups.shape != (n,) or self.groups.dtype.kind != "U"):
            raise DataError(f"groups must be text ({n},), got {self.groups.dtype} {self.groups.shape}")
        if self.relevance is not None and len(self.relevance) != n:
            raise DataError(f"{n} images, but relevance of {len(self.relevance)} queries")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def listed(self) -> bool:
        """Whether lists say what answers each image, and labels do not."""
        return self.relevance is not None and self.relevance.positives is not None

    def at(self, size: Size) -> Split:
        """Return the split with its images at a (height, width); see ``Images.at``."""
        return replace(self, images=self.images.at(size))

    def subset(self, index: Labels) -> Split:
        return Split(
            self.images.subset(index),
            self.labels[index],
            self.ids[index],
            None if self.groups is None else self.groups[index],
            None if self.relevance is None else self.relevance.subset(index),
        )

    def answered_by(self, gallery: Ids) -> Split:
        """Return the split with relevance that names no item outside of a gallery. gallery: str ``(N,)``."""
        if self.relevance is None:
            return self
        return replace(self, relevance=self.relevance.among(set(gallery.tolist())))
