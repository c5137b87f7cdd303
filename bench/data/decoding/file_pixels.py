"""Picture files as the images of a data set: at any size, each decoded once and only when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.contract import DataError, DataPlace, Resize
from bench.data.decoding.decode import DecodeRecipe, decode_files, decoder_in
from bench.data.decoding.image_source import Source, name_of

if TYPE_CHECKING:
    from bench.contract import Pixels, Size


@dataclass(frozen=True)
class _Files:
    """The files that pictures of all sizes come from.

    contents: uint8 ``(files, 16)``, a digest of each; broken: the reason for each that is left out; sizes: the pictures
    by their size, the first of them as they were loaded.
    """

    sources: Sequence[Source]
    place: DataPlace
    recipe: DecodeRecipe
    what: str
    contents: Pixels
    broken: Mapping[int, str]
    sizes: dict[Size, FilePixels] = field(default_factory=dict)


class FilePixels:
    """One picture a file, of one size (see `bench.contract.LazyPixels`).

    Attributes:
        shape: ``(files, height, width, channels)``.
        own: Whether that is the size which all of the files have.
        broken: The reason for each file that is no picture; its pixels are zero.
    """

    ndim = 4
    dtype = np.dtype(np.uint8)

    def __init__(self, files: _Files, size: Size, channels: int, *, own: bool, pixels: Pixels | None = None) -> None:
        self.shape = (len(files.sources), *size, channels)
        self.own = own
        self._files = files
        self._pixels = pixels
        files.sizes[size] = self

    @classmethod
    def of(cls, sources: Sequence[Source], place: DataPlace, recipe: DecodeRecipe, *, what: str) -> FilePixels:
        """Decode files to the size they share if that is small, else to 64x64; by which it is known what they are.

        Raises DataError as `bench.data.decoding.decode.decode_files` does.
        """
        found = decode_files(sources, place, recipe, what=what)
        files = _Files(sources, place, recipe, what, found.contents, found.broken)
        _, height, width, channels = found.pixels.shape
        return cls(files, (height, width), channels, own=found.own, pixels=found.pixels)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Pixels:
        found: Pixels = self.decoded()[index]
        return found

    @property
    def contents(self) -> Pixels:
        return self._files.contents

    @property
    def decoder(self) -> str:
        return decoder_in(self._files.place)

    @property
    def broken(self) -> Mapping[int, str]:
        return self._files.broken

    @property
    def as_loaded(self) -> FilePixels:
        return next(iter(self._files.sizes.values()))

    @property
    def resize(self) -> Resize:
        return Resize(*self.shape[1:3], self._files.recipe.resize, self._files.recipe.range)

    def at(self, size: Size) -> FilePixels:
        """Return the same pictures at a size, (height, width); nothing is decoded yet."""
        known = self._files.sizes.get(size)
        return FilePixels(self._files, size, self.shape[3], own=False) if known is None else known

    def decoded(self) -> Pixels:
        """Return the pixels, uint8, of this object's shape, after decoding them if nobody did before.

        Raises DataError where the files are not what they were when the data set was loaded.
        """
        if self._pixels is None:
            files, size = self._files, (self.shape[1], self.shape[2])
            found = decode_files(
                files.sources, files.place, replace(files.recipe, size=size), what=files.what, warn=lambda line: None
            )
            changed = np.flatnonzero((found.contents != files.contents).any(axis=1))
            if len(changed) or found.pixels.shape != self.shape:
                which = name_of(files.sources[int(changed[0])]) if len(changed) else files.what
                raise DataError(f"{which}: changed since the data set was loaded; start again")
            self._pixels = found.pixels
        return self._pixels
