"""scikit-learn's digits load as uint8 images with a fixed split."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from bench.contract import DataPlace
from bench.registry import get_dataset


def test_all_digits_are_there_once_with_their_brightness_stretched(place: DataPlace) -> None:
    collection = get_dataset("digits")().load(place)
    assert collection.test is not None
    assert collection.classes == tuple("0123456789")
    assert not collection.mirror
    ids = np.concatenate([collection.train.ids, collection.test.ids])
    assert sorted(ids) == [f"{n:04d}" for n in range(1797)]
    bunch = load_digits()
    for part in (collection.train, collection.test):
        rows = part.ids.astype(int)
        pixels = part.images.take(slice(None))
        assert pixels.dtype == np.uint8
        assert (pixels.min(), pixels.max()) == (0, 255)
        np.testing.assert_allclose(pixels[..., 0] / 255 * 16, bunch.images[rows], atol=0.04)
        np.testing.assert_array_equal(part.labels, bunch.target[rows])


def test_the_halves_are_stratified_and_always_the_same(place: DataPlace) -> None:
    first, again = (get_dataset("digits")().load(place) for _ in range(2))
    assert first.test is not None
    assert abs(len(first.train) - len(first.test)) <= 1
    assert np.abs(np.bincount(first.train.labels) - np.bincount(first.test.labels)).max() <= 1
    np.testing.assert_array_equal(first.train.ids, again.train.ids)
