"""Image to vector to image to vector, with encoders and decoders whose scores are known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio

from bench.contract import DataError, Images, MethodError, RunContext, Split
from bench.evaluation.inference.embed import decode_vectors, embed_images
from bench.evaluation.metrics.reconstruction import derangement, peak_signal_to_noise, score_decoding
from bench.evaluation.ranking.arrays import Floats

CPU = torch.device("cpu")
SHAPE = (2, 12, 13, 3)


class Flat:
    """The pixels themselves; decoding brings the largest back to 1."""

    def fit(self, train: Split, validation: Split, run: RunContext) -> None:
        return None

    def embed(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.flatten(1)


class Unflat:
    can_decode = True

    def decode(self, vectors: torch.Tensor) -> torch.Tensor:
        return (vectors / vectors.max(dim=1, keepdim=True).values).view(-1, 3, 12, 13)


class Constant(Flat):
    """A collapsed encoder."""

    def embed(self, pixels: torch.Tensor) -> torch.Tensor:
        return torch.ones(len(pixels), 5)


class Grey:
    can_decode = True

    def decode(self, vectors: torch.Tensor) -> torch.Tensor:
        return torch.full((len(vectors), 3, 12, 13), 0.5)


def images(n: int = 9) -> Images:
    pixels = np.random.default_rng(0).integers(0, 256, (n, 12, 13, 3), dtype=np.uint8)
    pixels[:, 0, 0] = 255
    return Images(pixels)


def score(
    method: Flat, decoder: Unflat | Grey, given: Images, batch_size: int = 256, seed: int = 0
) -> dict[str, Floats]:
    vectors = embed_images(method, given, device=CPU)
    return score_decoding(method, decoder, given, vectors, device=CPU, batch_size=batch_size, seed=seed)


def test_a_perfect_round_trip_scores_one_and_other_queries_score_less() -> None:
    scores = score(Flat(), Unflat(), images())
    assert list(scores) == ["decode_cosine", "decode_cosine_shuffled", "pixel_mse", "psnr", "ssim"]
    assert all(values.shape == (9,) and values.dtype == np.float64 for values in scores.values())
    np.testing.assert_allclose(scores["decode_cosine"], 1, atol=1e-6)
    assert (scores["decode_cosine_shuffled"] < 0.9).all()
    np.testing.assert_allclose(scores["pixel_mse"], 0, atol=1e-12)
    np.testing.assert_allclose(scores["psnr"], 100)
    np.testing.assert_allclose(scores["ssim"], 1, atol=1e-6)


def test_a_collapsed_encoder_scores_one_with_its_own_image_and_with_any_other() -> None:
    scores = score(Constant(), Grey(), images())
    np.testing.assert_allclose(scores["decode_cosine"], 1, atol=1e-6)
    np.testing.assert_allclose(scores["decode_cosine_shuffled"], 1, atol=1e-6)
    assert (scores["psnr"] < 15).all()


def test_pixel_errors_are_scikit_images() -> None:
    given = images()
    scores = score(Flat(), Grey(), given)
    pixels = given.pixels / 255
    grey = np.full(pixels.shape[1:], 0.5)
    np.testing.assert_allclose(scores["pixel_mse"], [mean_squared_error(x, grey) for x in pixels], rtol=1e-5)
    ratio: Callable[..., float] = peak_signal_noise_ratio  # scikit-image gives it no types
    ratios = [ratio(x, grey, data_range=1) for x in pixels]
    np.testing.assert_allclose(scores["psnr"], ratios, rtol=1e-5)


def test_cosines_are_those_of_the_decoded_images_embedded_again() -> None:
    given = images()
    vectors = embed_images(Flat(), given, device=CPU)
    decoded = decode_vectors(Unflat(), vectors, device=CPU).reshape(9, -1)
    again = decoded / np.linalg.norm(decoded, axis=1, keepdims=True)
    scores = score(Flat(), Unflat(), given, seed=3)
    np.testing.assert_allclose(scores["decode_cosine"], (vectors * again).sum(axis=1), atol=1e-6)
    other = (vectors * again[derangement(9, 3)]).sum(axis=1)
    np.testing.assert_allclose(scores["decode_cosine_shuffled"], other, atol=1e-6)


def test_any_batch_size_gives_the_same_scores() -> None:
    reference = score(Flat(), Grey(), images())
    for batch_size in (1, 4, 9):
        for name, values in score(Flat(), Grey(), images(), batch_size=batch_size).items():
            np.testing.assert_allclose(values, reference[name], atol=1e-6)


def test_a_single_image_has_no_other_to_be_paired_with() -> None:
    scores = score(Flat(), Unflat(), images(1))
    assert np.isnan(scores["decode_cosine_shuffled"]).all()
    assert np.isfinite(scores["decode_cosine"]).all()


@pytest.mark.parametrize("n", [2, 3, 10, 1_000])
def test_a_derangement_leaves_nothing_in_its_place_and_is_seeded(n: int) -> None:
    moved = derangement(n, 0)
    assert sorted(moved.tolist()) == list(range(n))
    assert (moved != np.arange(n)).all()
    np.testing.assert_array_equal(moved, derangement(n, 0))


def test_equal_images_have_a_ratio_of_100_and_not_an_infinite_one() -> None:
    assert peak_signal_to_noise(np.array([0.0, 0.01])).tolist() == [100.0, 20.0]


def test_a_decoder_of_another_shape_is_the_methods_error() -> None:
    small = Images(np.ones((3, 4, 4, 3), dtype=np.uint8))
    with pytest.raises(MethodError, match=r"Grey.decode must return images of shape \(3, 4, 4\), got \(3, 12, 13\)"):
        score(Flat(), Grey(), small)


def test_vectors_of_other_images_are_refused() -> None:
    with pytest.raises(DataError, match="one vector an image, got 2 for 9"):
        score_decoding(Flat(), Grey(), images(), np.ones((2, 5), dtype=np.float32), device=CPU)


def test_an_encoder_that_fails_on_decoded_images_is_named() -> None:
    class Picky(Flat):
        def embed(self, pixels: torch.Tensor) -> torch.Tensor:
            return pixels.flatten(1) - 0.5  # nothing is left of an even grey

    with pytest.raises(MethodError, match=r"Picky\.embed of decoded images: 9 of 9 rows are all zero"):
        score(Picky(), Grey(), images())
