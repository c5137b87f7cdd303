"""Images to vectors and back, with methods that keep their promises and methods that do not."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import torch

from bench.contract import DataError, Images, MethodError, RunContext, Split
from bench.evaluation.inference.embed import decode_vectors, embed_images, to_floats, with_views

CPU = torch.device("cpu")
T = TypeVar("T")


class Calls:
    """A method and decoder made of two functions, which remembers what it was given."""

    can_decode = True

    def __init__(
        self,
        embed: Callable[[torch.Tensor], torch.Tensor] = lambda pixels: pixels.flatten(1),
        decode: Callable[[torch.Tensor], torch.Tensor] = lambda vectors: vectors.view(-1, 1, 2, 2),
    ) -> None:
        self._embed, self._decode = embed, decode
        self.seen: list[torch.Tensor] = []

    def fit(self, train: Split, validation: Split, run: RunContext) -> None:
        return None

    def embed(self, pixels: torch.Tensor) -> torch.Tensor:
        self.seen.append(pixels)
        return self._embed(pixels)

    def decode(self, vectors: torch.Tensor) -> torch.Tensor:
        self.seen.append(vectors)
        return self._decode(vectors)


def images(n: int, height: int = 4, width: int = 5, channels: int = 3, seed: int = 0) -> Images:
    return Images(np.random.default_rng(seed).integers(1, 256, (n, height, width, channels), dtype=np.uint8))


def test_vectors_are_the_methods_own_scaled_to_unit_length() -> None:
    given = images(10)
    vectors = embed_images(Calls(), given, device=CPU, batch_size=4)
    flat = given.pixels.transpose(0, 3, 1, 2).reshape(10, -1) / 255
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, flat / np.linalg.norm(flat, axis=1, keepdims=True), atol=1e-6)


def test_embed_gets_unit_floats_channels_last_without_gradients() -> None:
    method = Calls()
    embed_images(method, Images(np.full((5, 4, 6, 3), 255, dtype=np.uint8)), device=CPU, batch_size=2)
    assert [tuple(pixels.shape) for pixels in method.seen] == [(2, 3, 4, 6), (2, 3, 4, 6), (1, 3, 4, 6)]
    assert method.seen[0].dtype == torch.float32
    assert method.seen[0].is_contiguous(memory_format=torch.channels_last)
    assert method.seen[0].max() == method.seen[0].min() == 1.0
    assert method.seen[0].is_inference() or not method.seen[0].requires_grad


def test_any_batch_size_gives_the_same_vectors_and_the_progress_counts_batches() -> None:
    counted: list[tuple[int, str]] = []

    class Count:
        def __call__(self, items: Iterable[T], *, total: int, what: str) -> Iterable[T]:
            counted.append((total, what))
            return items

    one = embed_images(Calls(), images(7), device=CPU, batch_size=1)
    np.testing.assert_array_equal(one, embed_images(Calls(), images(7), device=CPU, batch_size=3, progress=Count()))
    np.testing.assert_array_equal(one, embed_images(Calls(), images(7), device=CPU))
    assert counted == [(3, "embed")]


def test_subsets_and_read_only_memory_maps_are_read_as_they_are(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    given = images(6)
    given.pixels.tofile(tmp_path / "pixels")
    mapped = np.memmap(tmp_path / "pixels", dtype=np.uint8, mode="r", shape=given.pixels.shape)
    whole = embed_images(Calls(), given, device=CPU)
    np.testing.assert_array_equal(whole, embed_images(Calls(), Images(mapped), device=CPU))
    rows = np.array([4, 0, 4])
    np.testing.assert_array_equal(whole[rows], embed_images(Calls(), Images(mapped, rows), device=CPU))
    assert not [one for one in recwarn if "writ" in str(one.message)]


def test_the_images_are_not_written_to() -> None:
    given = images(3)
    before = given.pixels.copy()
    to_floats(given.take(slice(None)), CPU).zero_()
    np.testing.assert_array_equal(given.pixels, before)


def test_half_precision_vectors_are_accepted() -> None:
    vectors = embed_images(Calls(lambda pixels: pixels.flatten(1).half()), images(3), device=CPU)
    assert vectors.dtype == np.float32


def change_after_first_batch() -> Callable[[torch.Tensor], torch.Tensor]:
    sizes = iter((2, 3))
    return lambda pixels: torch.ones(len(pixels), next(sizes))


@pytest.mark.parametrize(
    ("embed", "message"),
    [
        (lambda pixels: pixels, r"Calls.embed must return \(2, d\) for 2 images, got \(2, 3, 4, 5\)"),
        (lambda pixels: pixels.flatten(1)[:1], r"must return \(2, d\)"),
        (lambda pixels: torch.ones(len(pixels), 0), r"must return \(2, d\)"),
        (lambda pixels: torch.ones(len(pixels), 3, dtype=torch.int64), "floating-point vectors, got torch.int64"),
        (lambda pixels: torch.full((len(pixels), 3), torch.nan), "Calls.embed: 4 of 4 rows are not finite"),
        (lambda pixels: torch.zeros(len(pixels), 3), "Calls.embed: 4 of 4 rows are all zero, the first is row 0"),
        (change_after_first_batch(), "returned 3 dimensions after 2 before"),
    ],
)
def test_a_broken_promise_is_the_methods_error(embed: Callable[[torch.Tensor], torch.Tensor], message: str) -> None:
    with pytest.raises(MethodError, match=message):
        embed_images(Calls(embed), images(4), device=CPU, batch_size=2)


def test_no_images_and_no_batch_are_refused() -> None:
    with pytest.raises(DataError, match="no images"):
        embed_images(Calls(), images(0), device=CPU)
    with pytest.raises(DataError, match="batch size"):
        embed_images(Calls(), images(2), device=CPU, batch_size=0)
    with pytest.raises(DataError, match="no vectors"):
        decode_vectors(Calls(), np.empty((0, 4), dtype=np.float32), device=CPU)


def test_decoded_images_are_floats_between_0_and_1_whatever_the_batch() -> None:
    vectors = np.random.default_rng(0).random((5, 4), dtype=np.float32)
    decoded = decode_vectors(Calls(), vectors, device=CPU, batch_size=2)
    np.testing.assert_array_equal(decoded, vectors.reshape(5, 1, 2, 2))
    slightly_over = Calls(decode=lambda vectors: torch.full((len(vectors), 1, 2, 2), 1.0004))
    assert decode_vectors(slightly_over, vectors, device=CPU).max() == 1.0


@pytest.mark.parametrize(
    ("decode", "message"),
    [
        (
            lambda vectors: vectors,
            r"Calls.decode must return \(5, channels, height, width\) for 5 vectors, got \(5, 4\)",
        ),
        (lambda vectors: vectors.view(-1, 1, 2, 2)[:3], "must return"),
        (lambda vectors: vectors.view(-1, 1, 2, 2) * 255, r"pixels in \[0, 1\], got"),
        (lambda vectors: vectors.view(-1, 1, 2, 2) - 1, r"pixels in \[0, 1\], got"),
        (lambda vectors: vectors.view(-1, 1, 2, 2) * torch.nan, r"pixels in \[0, 1\], got nan"),
    ],
)
def test_a_decoder_that_breaks_its_promise_is_named(
    decode: Callable[[torch.Tensor], torch.Tensor], message: str
) -> None:
    vectors = np.random.default_rng(0).random((5, 4), dtype=np.float32)
    with pytest.raises(MethodError, match=message):
        decode_vectors(Calls(decode=decode), vectors, device=CPU)


class Sloped:
    """Vectors that a mirrored image does not share: columns weigh differently."""

    def fit(self, train: Split, validation: Split, run: RunContext) -> None: ...

    def embed(self, pixels: torch.Tensor) -> torch.Tensor:
        return (pixels * torch.arange(1, pixels.shape[3] + 1)).flatten(1) + 1e-3


def test_only_with_mirror_test_do_an_image_and_its_mirror_image_embed_alike() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 6, 1), dtype=np.uint8)
    both = Images(pixels), Images(np.ascontiguousarray(pixels[:, :, ::-1]))
    method = Sloped()
    assert with_views(method, mirror_test=False) is method
    plain, mirrored = (
        [embed_images(one, images, device=CPU) for images in both]
        for one in (method, with_views(method, mirror_test=True))
    )
    assert np.abs(plain[0] - plain[1]).max() > 0.01
    np.testing.assert_allclose(mirrored[0], mirrored[1], atol=1e-6)
    mean = plain[0] + plain[1]  # of unit vectors
    np.testing.assert_allclose(mirrored[0], mean / np.linalg.norm(mean, axis=1, keepdims=True), atol=1e-6)
