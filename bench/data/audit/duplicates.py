"""Which images are copies of each other: exactly, by their pixels, or nearly, by what is left of them when small.

An image's 8x8 lowest cosine frequencies, its mean left out and scaled to length 1, are its *signature*: a perceptual
hash before it is rounded to bits. The cosine of two signatures is the correlation of the two pictures brought down to
8x8. It survives resizing, JPEG, and changes of brightness and contrast; a mirrored picture has the same signature with
every second column's sign turned, so that looking for mirrored copies needs no second reading of the images.

Simple shapes are near each other without being copies (two pairs of trousers). So a pair counts when it is near *and*
far nearer than its surroundings are: at most `_ISOLATION` of the distance to the image's tenth neighbour.
"""

from __future__ import annotations

import hashlib
import logging
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.contract import DAMAGED_ARRAYS
from bench.files import digest_of_arrays, replacing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from bench.contract import Images, Labels, Progress

    Floats = NDArray[np.float32]
    Flags = NDArray[np.bool_]

VERSION = 2  # of what counts as a copy and of what is kept: a change of any number below is a new one
SMALLEST = 8  # pixels a side below which two images are alike too easily: only exact copies are looked for

_FREQUENCIES = 8
_NEAR = 0.005  # 1 - cosine: 99 % of copies at half the size stay below it, and nearly all of JPEG at quality 50
_CERTAIN = 0.0004  # below this no surroundings are asked; of FashionMNIST's images 0.1 % have another below 0.0014
_ISOLATION = 0.12
_NEIGHBOR, _SAMPLE = 10, 20_000  # the surroundings: the tenth nearest of an evenly spaced sample
_FLAT = 2.0  # grey levels of contrast below which a picture shows nothing
_COLOUR = 24.0  # largest difference of colour, in levels of Cb and Cr, in any quarter of two copies
_ROWS, _COLUMNS = 512, 32_768  # signatures compared at a time
_PAIRS = 200_000  # candidates compared once more at a time
_BYTES = 16 << 20  # of pixels read at a time

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_CHROMA = np.array([[-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32).T  # JPEG's Cb and Cr


@dataclass(frozen=True)
class Copies:
    """Copies among n images.

    group: int64 ``(n,)``, the number of each image's group of equal pixels; first, second: int64 ``(m,)``, pairs of
    groups that are near copies; mirrored: bool ``(m,)``, whether only the mirror image is.
    """

    group: Labels
    first: Labels
    second: Labels
    mirrored: Flags


def find_copies(images: Sequence[Images], *, mirror: bool = False, progress: Progress | None = None) -> Copies:
    """Find the copies among all images of several lists of one shape, numbered through in their order.

    Memory: about 350 bytes an image, whatever its size.
    """
    digests, signatures, colours = _read(images, progress)
    _, representative, group = np.unique(digests, return_index=True, return_inverse=True)
    order = np.argsort(representative)  # number the groups as their first images come
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    rows, group = representative[order], place[group.reshape(-1)].astype(np.int64)
    shape, nothing = images[0].shape, np.zeros(0, np.int64)
    if min(shape.height, shape.width) < SMALLEST or len(rows) < 2:
        return Copies(group, nothing, nothing, np.zeros(0, np.bool_))
    first, second, mirrored = _near(signatures[rows], colours[rows], mirror=mirror)
    return Copies(group, first, second, mirrored)


def _read(images: Sequence[Images], progress: Progress | None) -> tuple[NDArray[np.void], Floats, Floats]:
    """Return of each image a digest of its pixels, its signature (all 0 where it shows nothing), and its colours."""
    shape = images[0].shape
    step = max(1, _BYTES // (shape.height * shape.width * shape.channels))
    chunks = [(part, start) for part in images for start in range(0, len(part), step)]
    digests, signatures, colours = [], [], []
    for part, start in progress(chunks, total=len(chunks), what="comparing images") if progress else chunks:
        pixels = part.take(slice(start, start + step))
        flat = np.ascontiguousarray(pixels).reshape(len(pixels), -1)
        digests += [hashlib.blake2b(row.data, digest_size=16).digest() for row in flat]
        values = pixels.astype(np.float32)
        signatures.append(_signature(values))
        colours.append(_colours(values))
    return np.array(digests, "V16"), np.concatenate(signatures), np.concatenate(colours)


def _signature(pixels: Floats) -> Floats:
    grey = pixels[..., 0] if pixels.shape[-1] == 1 else pixels @ _LUMA
    height, width = grey.shape[1:]
    down, across = _cosines(height), _cosines(width)
    found = np.matmul(np.matmul(down, grey), across.T).reshape(len(grey), -1)[:, 1:]
    length = np.linalg.norm(found, axis=1, keepdims=True)
    shows = length > _FLAT * np.sqrt(height * width)
    return np.where(shows, found / np.where(shows, length, 1), 0).astype(np.float32)


def _cosines(size: int) -> Floats:
    """Return the orthonormal cosine basis (DCT-II) of the lowest frequencies, float32 ``(frequencies, size)``."""
    count = min(_FREQUENCIES, size)
    angles = np.pi * np.arange(count)[:, None] * (np.arange(size) + 0.5) / size
    basis = np.cos(angles) * np.sqrt(2 / size)
    basis[0] /= np.sqrt(2)
    rounded: Floats = basis.astype(np.float32)
    return rounded


def _colours(pixels: Floats) -> Floats:
    """Return Cb and Cr of each quarter of the picture, ``(n, 2, 2, 2)`` as rows, columns, channels; empty for grey."""
    if pixels.shape[-1] == 1:
        return np.zeros((len(pixels), 0, 0, 0), np.float32)
    height, width = pixels.shape[1] // 2, pixels.shape[2] // 2
    halves = [(slice(0, max(1, height)), slice(height, None)), (slice(0, max(1, width)), slice(width, None))]
    means = [[pixels[:, down, across].mean(axis=(1, 2)) for across in halves[1]] for down in halves[0]]
    found: Floats = np.stack([np.stack(row, axis=1) for row in means], axis=1) @ _CHROMA
    return found


def _near(signatures: Floats, colours: Floats, *, mirror: bool) -> tuple[Labels, Labels, Flags]:
    """Return the near pairs among unique images: first < second, and whether only the mirror image is near."""
    shown = np.flatnonzero(signatures.any(axis=1))
    known, tints = signatures[shown], colours[shown]
    found = list(_pairs(known, tints, mirror=mirror))
    first, second = (np.concatenate([np.zeros(0, np.int64), *(pair[at] for pair in found)]) for at in (0, 1))
    distance = np.concatenate([np.zeros(0, np.float32), *(pair[2] for pair in found)])
    mirrored = np.concatenate([np.zeros(0, np.bool_), *(np.full(len(pair[0]), pair[3]) for pair in found)])
    asked = np.unique(np.concatenate([first, second])[np.tile(distance > _CERTAIN, 2)])
    room = np.full(len(known), np.inf, np.float32)
    room[asked] = _surroundings(known, asked)
    alone = (distance <= _CERTAIN) | (distance <= _ISOLATION * np.minimum(room[first], room[second]))
    first, second, mirrored = first[alone], second[alone], mirrored[alone]
    order = np.lexsort((mirrored, second, first))
    first, second, mirrored = first[order], second[order], mirrored[order]
    once = np.ones(len(first), np.bool_)  # a pair that is near both ways is not a mirrored one
    once[1:] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
    return shown[first[once]], shown[second[once]], mirrored[once]


def _turn(length: int) -> Floats:
    """Return the signs that turn a signature into that of the mirror image: odd frequencies across change theirs."""
    signs = np.ones(length + 1, np.float32)
    signs[1::2] = -1  # a row of frequencies is eight long
    return signs[1:]


def _pairs(known: Floats, tints: Floats, *, mirror: bool) -> Iterator[tuple[Labels, Labels, Floats, bool]]:
    """Yield every near pair with its distance, and whether it is of one image with the other's mirror image."""
    turn = _turn(known.shape[1])
    order, windows = _windows(known[:, turn > 0].astype(np.float64))
    ranked = known[order]
    for rows, columns in windows:
        right = ranked[columns]
        for turned in (False, True) if mirror else (False,):
            left = ranked[rows] * turn if turned else ranked[rows]
            row, column = np.nonzero(left @ right.T >= 1 - _NEAR - 1e-5)
            pairs = np.stack([row + rows.start, column + columns.start], axis=1)
            yield from _checked(order[pairs[pairs[:, 0] < pairs[:, 1]]], known, tints, turned=turned)


def _windows(even: NDArray[np.float64]) -> tuple[Labels, Iterator[tuple[slice, slice]]]:
    """Return an order of the signatures, and slices of it to compare such that no near pair is missed.

    even: the frequencies that mirroring does not touch, so that the same windows serve for mirrored pairs. Two
    signatures are never farther apart along a direction than they are in all. So they are put in bins along the
    direction in which they differ most, in order along the second, and compared with what lies near in both.
    """
    across, along = (even @ np.linalg.eigh(even.T @ even)[1][:, -2:]).T
    reach = float(np.sqrt(2 * _NEAR)) + 1e-6
    number = np.floor(along / reach).astype(np.int64)
    order = np.lexsort((across, number))
    across, ends = across[order], np.cumsum(np.bincount(number - number.min(initial=0), minlength=1)).tolist()

    def windows() -> Iterator[tuple[slice, slice]]:
        for begin, end, after in zip([0, *ends], ends, [*ends[1:], ends[-1]], strict=False):
            for start in range(begin, end, _ROWS):
                stop = min(start + _ROWS, end)
                edges = [across[start] - reach, across[stop - 1] + reach]
                low, high = end + np.searchsorted(across[end:after], edges)
                for first, last in ((start, start + np.searchsorted(across[start:end], edges[1])), (low, high)):
                    for column in range(int(first), int(last), _COLUMNS):
                        yield slice(start, stop), slice(column, min(column + _COLUMNS, int(last)))

    return order, windows()


def _checked(
    pairs: Labels, known: Floats, tints: Floats, *, turned: bool
) -> Iterator[tuple[Labels, Labels, Floats, bool]]:
    """Yield the pairs whose distance, by itself and not as part of a product, is near, and whose colours agree."""
    for start in range(0, len(pairs), _PAIRS):
        first, second = np.sort(pairs[start : start + _PAIRS], axis=1).T
        left, tint = known[first], tints[first]
        if turned:
            left, tint = left * _turn(known.shape[1]), tint[:, :, ::-1]
        distance = np.maximum(1 - np.einsum("ij,ij->i", left, known[second]), 0)
        good = distance <= _NEAR
        if tints.shape[1]:
            good &= np.abs(tint - tints[second]).max(axis=(1, 2, 3)) <= _COLOUR
        yield first[good], second[good], distance[good], turned


def _surroundings(known: Floats, asked: Labels) -> Floats:
    """Return the distance of the asked images to their tenth neighbour in the sample; infinite if there are too few."""
    sample = known[np.linspace(0, len(known) - 1, min(len(known), _SAMPLE)).astype(np.int64)]
    if len(sample) <= _NEIGHBOR:
        return np.full(len(asked), np.inf, np.float32)
    found = [np.zeros(0, np.float32)]
    for start in range(0, len(asked), 512):
        distance = 1 - known[asked[start : start + 512]] @ sample.T
        found.append(np.partition(distance, _NEIGHBOR, axis=1)[:, _NEIGHBOR])
    return np.concatenate(found)


logger = logging.getLogger(__name__)


def load_copies(path: Path) -> Copies | None:
    """Return what was found before, or None if there is no such file, or a damaged one."""
    try:
        found = verified_copies(path)
    except FileNotFoundError:
        return None
    except DAMAGED_ARRAYS as error:
        logger.warning("%s: a damaged audit, looking again (%s)", path, error)
        return None
    with suppress(OSError):  # used today, says the cache, which may be one that only others write
        os.utime(path)
    return found


def verified_copies(path: Path) -> Copies:
    """Return what ``save_copies`` wrote. Raises one of DAMAGED_ARRAYS where it is not that."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in ("group", "first", "second", "mirrored")}
        if str(file["digest"]) != digest_of_arrays({"of": path.stem}, arrays):
            raise ValueError("it is not what was written, or another data set's")
        return Copies(**arrays)


def save_copies(path: Path, copies: Copies) -> None:
    """Write whole or not at all; a cache that cannot be written costs time, not the run."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary, temporary.open("wb") as file:
            arrays = {name: getattr(copies, name) for name in ("group", "first", "second", "mirrored")}
            np.savez_compressed(file, **arrays, digest=np.array(digest_of_arrays({"of": path.stem}, arrays)))
    except OSError as error:
        logger.warning("%s: the audit cannot be kept (%s)", path, error.strerror or error)
