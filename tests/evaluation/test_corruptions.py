"""Corruptions do what their names say, depend on nothing but seed and id, and look alike at every size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter
from scipy import ndimage
from sklearn.datasets import load_digits, load_sample_image

from bench.contract import UsageError
from bench.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupt

if TYPE_CHECKING:
    from bench.contract import Ids, Pixels


def names(count: int) -> Ids:
    return np.array([f"image {n}" for n in range(count)], np.str_)


@pytest.fixture(scope="module")
def photograph() -> Pixels:
    """A photograph of 240 x 320 pixels, as a batch of one."""
    picture = Image.fromarray(load_sample_image("china.jpg")).resize((320, 240))
    return np.asarray(picture)[None].copy()


@pytest.fixture(scope="module")
def digits() -> Pixels:
    values: Pixels = np.clip(load_digits().images[:40] * 16, 0, 255).astype(np.uint8)[..., None]
    return values


def difference(left: Pixels, right: Pixels) -> float:
    return float(np.abs(left.astype(float) - right).mean())


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_each_severity_is_further_from_the_original_and_leaves_it_alone(name: str, photograph: Pixels) -> None:
    before = photograph.copy()
    found = [corrupt(photograph, names(1), name, severity) for severity in SEVERITIES]
    distances = [difference(one, photograph) for one in found]
    assert 0 < distances[0] < distances[1] < distances[2]
    assert all(one.shape == photograph.shape and one.dtype == np.uint8 for one in found)
    assert np.array_equal(photograph, before)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_an_image_is_corrupted_alike_in_any_company_and_order(name: str, digits: Pixels) -> None:
    whole = corrupt(digits, names(40), name, 2)
    order = np.random.default_rng(0).permutation(40)[:15]
    assert np.array_equal(corrupt(digits[order], names(40)[order], name, 2), whole[order])
    assert whole.shape == digits.shape
    other = corrupt(digits, names(40), name, 2, seed=1)
    assert np.array_equal(other, whole) == (name not in ("noise", "rotate"))


def test_blur_is_pillows_of_the_same_sigma(photograph: Pixels) -> None:
    sigma = CORRUPTIONS["blur"].levels[0] * 240
    expected = np.asarray(Image.fromarray(photograph[0]).filter(ImageFilter.GaussianBlur(sigma)))
    inside = (slice(20, -20), slice(20, -20))  # Pillow's is three boxes in a row
    assert difference(corrupt(photograph, names(1), "blur", 1)[0][inside], expected[inside]) < 1


def test_rotation_and_crop_are_scipys_affine_transform(photograph: Pixels) -> None:
    ids = names(12)
    turned = corrupt(np.repeat(photograph, 12, axis=0), ids, "rotate", 2)
    angle = np.radians(CORRUPTIONS["rotate"].levels[1])
    expected = [_affine(photograph[0], sign * angle, 1.0) for sign in (1, -1)]
    ways = [min(range(2), key=lambda way, one=one: difference(one, expected[way])) for one in turned]  # type: ignore[misc]
    assert max(difference(one, expected[way]) for one, way in zip(turned, ways, strict=True)) < 0.51  # rounding
    assert set(ways) == {0, 1}
    share = CORRUPTIONS["crop"].levels[2]
    assert difference(corrupt(photograph, names(1), "crop", 3)[0], _affine(photograph[0], 0.0, share)) < 0.51


def _affine(image: Pixels, angle: float, share: float) -> Pixels:
    matrix = share * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = (np.array(image.shape[:2]) - 1) / 2
    offset = centre - matrix @ centre
    channels = [
        ndimage.affine_transform(image[..., c].astype(float), matrix, offset, order=1, mode="nearest") for c in range(3)
    ]
    return np.stack(channels, axis=-1)


def test_noise_has_its_standard_deviation_and_one_grain_a_32nd_of_the_side() -> None:
    grey = np.full((3, 64, 96, 1), 128, np.uint8)
    noisy = corrupt(grey, names(3), "noise", 2).astype(float)
    assert np.std(noisy - 128) / 255 == pytest.approx(CORRUPTIONS["noise"].levels[1], rel=0.05)
    assert np.array_equal(noisy[:, ::2, ::2], noisy[:, 1::2, 1::2]), "grains of 2 x 2 pixels"
    assert np.corrcoef(noisy[0].ravel(), noisy[1].ravel())[0, 1] < 0.1
    harder = corrupt(grey, names(3), "noise", 3).astype(float)
    assert np.corrcoef(noisy[0].ravel(), harder[0].ravel())[0, 1] > 0.98, "the same draw, scaled"


@pytest.mark.parametrize("name", ["blur", "noise", "rotate", "crop", "grey"])
def test_a_large_image_made_small_looks_like_the_small_one(name: str, photograph: Pixels) -> None:
    smaller = np.asarray(Image.fromarray(photograph[0]).reduce(5))[None]  # 48 x 64
    large = corrupt(photograph, names(1), name, 3)
    shrunk = np.asarray(Image.fromarray(large[0]).reduce(5))[None]
    small = corrupt(smaller, names(1), name, 3)
    assert difference(shrunk, small) < 0.5 * difference(small, smaller)


def test_grey_is_pillows_luma_and_changes_no_grey_image(photograph: Pixels, digits: Pixels) -> None:
    expected = np.asarray(Image.fromarray(photograph[0]).convert("L")).astype(int)
    found = corrupt(photograph, names(1), "grey", 3)[0].astype(int)
    assert (found[..., 0] == found[..., 1]).all()
    assert np.abs(found[..., 0] - expected).max() <= 1
    assert np.array_equal(corrupt(digits, names(40), "grey", 3), digits)


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(sorted(CORRUPTIONS)),
    st.sampled_from(SEVERITIES),
    st.tuples(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3])),
    st.integers(0, 255),
)
def test_an_image_of_one_colour_keeps_it_but_for_noise(
    name: str, severity: int, shape: tuple[int, int, int], value: int
) -> None:
    pixels = np.full((2, *shape), value, np.uint8)
    found = corrupt(pixels, names(2), name, severity)
    assert found.shape == pixels.shape
    if name != "noise":
        allowed = 16 if name == "jpeg" else 1  # a block's mean is rounded to steps of up to 28
        assert np.abs(found.astype(int) - value).max() <= allowed


def test_what_is_no_corruption_is_told() -> None:
    with pytest.raises(UsageError, match=r"no corruption 'blurr' of severity 1 .there are: blur, noise"):
        corrupt(np.zeros((1, 2, 2, 1), np.uint8), names(1), "blurr", 1)
    with pytest.raises(UsageError, match="severity 4"):
        corrupt(np.zeros((1, 2, 2, 1), np.uint8), names(1), "blur", 4)
