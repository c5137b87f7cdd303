"""Copies are found whatever was done to them, and pictures that are merely alike are not."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from bench.contract import Images
from bench.data.audit.duplicates import _NEAR, Copies, _pairs, _signature, _turn, find_copies

Pixels = NDArray[np.uint8]


def scenes(count: int, channels: int, *, height: int = 48, width: int = 36, seed: int = 0) -> Pixels:
    """Make smooth random pictures: no two alike."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (count, 6, 5, channels), dtype=np.uint8)
    large = [
        np.asarray(Image.fromarray(one.squeeze()).resize((width, height), Image.Resampling.BICUBIC)) for one in small
    ]
    return np.stack(large).reshape(count, height, width, channels)


def jpeg(image: Pixels, quality: int) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(image.squeeze()).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer)).reshape(image.shape)


def resized(image: Pixels) -> Pixels:
    picture = Image.fromarray(image.squeeze())
    half = picture.resize((image.shape[1] // 2, image.shape[0] // 2))
    return np.asarray(half.resize(picture.size)).reshape(image.shape)


def brighter(image: Pixels) -> Pixels:
    bright: Pixels = np.clip(image * 1.1 + 5, 0, 255).astype(np.uint8)
    return bright


def near_pairs(copies: Copies) -> set[tuple[int, int, bool]]:
    return set(zip(copies.first.tolist(), copies.second.tolist(), copies.mirrored.tolist(), strict=True))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("change", [lambda x: jpeg(x, 60), resized, brighter])
def test_changed_copies_are_near_and_nothing_else_is(channels: int, change: object) -> None:
    base = scenes(60, channels)
    copies = np.stack([change(image) for image in base[:20]])  # type: ignore[operator] # a change is a function
    found = find_copies([Images(base), Images(copies)])
    assert near_pairs(found) == {(number, 60 + number, False) for number in range(20)}


@pytest.mark.parametrize("channels", [1, 3])
def test_equal_pixels_are_one_group_and_groups_are_numbered_as_they_come(channels: int) -> None:
    base = scenes(10, channels)
    found = find_copies([Images(base), Images(base, np.array([3, 3, 7]))])
    assert found.group.tolist() == [*range(10), 3, 3, 7]
    assert near_pairs(found) == set()


def test_mirrored_copies_are_found_where_a_mirrored_image_shows_the_same_only() -> None:
    base = scenes(40, 3)
    copies = np.stack([jpeg(np.ascontiguousarray(image[:, ::-1]), 70) for image in base[:10]])
    assert near_pairs(find_copies([Images(base), Images(copies)])) == set()
    found = near_pairs(find_copies([Images(base), Images(copies)], mirror=True))
    assert found == {(number, 40 + number, True) for number in range(10)}


def test_the_same_picture_in_another_colour_is_no_copy() -> None:
    base = scenes(30, 1).repeat(3, axis=3) // 2 + 60
    red = base.copy()
    red[..., 0] += 60
    red[..., 1] -= 31  # the same luminance, near enough
    assert near_pairs(find_copies([Images(base), Images(red)])) == set()


def test_pictures_that_show_nothing_are_copies_only_if_equal() -> None:
    flat = np.stack([np.full((16, 16, 1), level, np.uint8) for level in (0, 100, 100, 255)])
    found = find_copies([Images(flat)], mirror=True)
    assert found.group.tolist() == [0, 1, 1, 2]
    assert near_pairs(found) == set()


def test_tiny_pictures_are_compared_by_their_pixels_only() -> None:
    base = scenes(5, 1, height=7, width=9)
    found = find_copies([Images(np.concatenate([base, base // 2 + 3]))])
    assert found.group.tolist() == list(range(10))
    assert near_pairs(found) == set()


def test_of_shapes_that_are_all_alike_only_the_copy_counts() -> None:
    rng = np.random.default_rng(0)
    one = scenes(1, 1)[0].astype(float)
    noise = scenes(200, 1, seed=1).astype(float) - 128
    alike = np.clip(one + 0.12 * noise + rng.normal(0, 1, noise.shape), 0, 255).astype(np.uint8)
    found = find_copies([Images(alike), Images(np.stack([jpeg(alike[0], 80)]))])
    assert near_pairs(found) == {(0, 200, False)}


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 120), st.floats(0.001, 0.3), st.integers(0, 999))
def test_no_near_pair_is_missed(count: int, spread: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    centre = rng.standard_normal((3, 63))
    known = centre[rng.integers(0, 3, count)] + spread * rng.standard_normal((count, 63))
    known = (known / np.linalg.norm(known, axis=1, keepdims=True)).astype(np.float32)
    got = {
        (one, two, turned)
        for first, second, _, turned in _pairs(known, np.zeros((count, 0, 0, 0), np.float32), mirror=True)
        for one, two in zip(first.tolist(), second.tolist(), strict=True)
    }
    for turned in (False, True):
        distance = 1 - (known * _turn(63) if turned else known).astype(float) @ known.T
        for one in range(count):
            for two in range(one + 1, count):
                if abs(distance[one, two] - _NEAR) > 1e-6:
                    assert ((one, two, turned) in got) == (distance[one, two] < _NEAR)


def test_a_signature_does_not_depend_on_the_size_and_turns_with_the_mirror() -> None:
    image = scenes(1, 1, height=64, width=64).astype(np.float32)
    double = image.repeat(2, axis=1).repeat(2, axis=2)
    assert float((_signature(image) @ _signature(double).T).item()) > 0.999
    np.testing.assert_allclose(_signature(image[:, :, ::-1]), _signature(image) * _turn(63), atol=1e-5)
