"""The floors that need no training: PCA against scikit-learn, HOG against scikit-image, on sizes of every kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage.feature import hog
from sklearn.decomposition import PCA

from bench.contract import Budget, Images, RunContext, Split, UsageError
from bench.evaluation.inference.embed import to_floats
from bench.options import build
from bench.registry import get_method
from bench.runs.fitting import MemoryHistory


class NoCheckpoints:
    def save(self, name: str, tensors: object, facts: object) -> None: ...

    def load(self, name: str) -> None: ...


def images(count: int, height: int, width: int, channels: int = 1, seed: int = 0) -> Images:
    """Noise on a few smooth patterns, so that variances fall from direction to direction."""
    rng = np.random.default_rng(seed)
    patterns = rng.normal(0, 1, (5, height, width, channels)).cumsum(axis=1).cumsum(axis=2)
    mixed = np.tensordot(rng.normal(0, 1, (count, 5)), patterns, axes=1) * 5 + rng.normal(
        0, 12, (count, *patterns.shape[1:])
    )
    return Images(np.clip(mixed + 128, 0, 255).astype(np.uint8))


def fitted(name: str, train: Images, **options: Any) -> Any:
    method: Any = build(get_method(name), options, owner=name)
    labels = np.zeros(len(train), np.int64)
    split = Split(train, labels, np.array([str(row) for row in range(len(train))], dtype=np.str_))
    context = RunContext(
        seed=0,
        device=torch.device("cpu"),
        classes=("one",),
        mirror=False,
        budget=Budget(),
        checkpoints=NoCheckpoints(),
        history=MemoryHistory(),
        progress=lambda items, **_: items,
        log=lambda line: None,
    )
    method.fit(split, split.subset(np.zeros(0, np.int64)), context)
    return method


def embedded(method: Any, given: Images) -> NDArray[np.float64]:
    return np.asarray(method.embed(to_floats(given.take(slice(None)), torch.device("cpu"))), np.float64)


def rows_of(given: Images) -> NDArray[np.float64]:
    return given.take(slice(None)).transpose(0, 3, 1, 2).reshape(len(given), -1) / 255.0


@pytest.mark.parametrize("whiten", [False, True])
@pytest.mark.parametrize(("count", "side", "channels"), [(200, 6, 1), (30, 12, 1), (30, 9, 3)])
def test_pca_equals_scikit_learns_on_more_images_than_pixels_and_on_fewer(
    whiten: bool, count: int, side: int, channels: int
) -> None:
    train, unseen = images(count, side, side, channels), images(10, side, side, channels, seed=1)
    ours = embedded(fitted("pca", train, embedding_dim=8, whiten=whiten), unseen)
    theirs = PCA(8, whiten=whiten, svd_solver="full").fit(rows_of(train)).transform(rows_of(unseen))
    signs = np.sign((ours * theirs).sum(axis=0))  # a direction's sign is nobody's to choose
    np.testing.assert_allclose(ours * signs, theirs, atol=2e-3)


def test_pca_gives_no_more_dimensions_than_the_images_span() -> None:
    assert embedded(fitted("pca", images(2, 10, 10)), images(3, 10, 10)).shape == (3, 1)
    assert embedded(fitted("pca", images(20, 10, 10)), images(3, 10, 10)).shape == (3, 19)
    assert embedded(fitted("pca", images(500, 4, 5)), images(3, 4, 5)).shape == (3, 20)


def test_pca_of_equal_images_still_gives_vectors_that_are_not_zero() -> None:
    for side in (3, 40):
        even = Images(np.full((5, side, side, 1), 77, np.uint8))
        vectors = embedded(fitted("pca", even, whiten=True), even)
        assert np.isfinite(vectors).all()
        assert (vectors != 0).any(axis=1).all()


def test_pca_learns_from_an_evenly_spaced_sample_where_all_images_would_not_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train = images(50, 8, 8)
    cls = get_method("pca")
    monkeypatch.setitem(cls.fit.__globals__, "_NUMBERS", 64 * 10)
    some = embedded(fitted("pca", train, embedding_dim=5), train)
    monkeypatch.undo()
    rows = np.linspace(0, 49, 10).astype(np.int64)
    assert np.array_equal(some, embedded(fitted("pca", Images(train.take(rows)), embedding_dim=5), train))


@pytest.mark.parametrize(
    ("name", "options"), [("pca", {"embedding_dim": 0}), ("hog", {"cell": 0}), ("hog", {"block": 0})]
)
def test_options_that_cannot_be_are_refused(name: str, options: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        build(get_method(name), options, owner=name)


def skimage_hog(given: Images, cell: int, orientations: int = 9, block: int = 2) -> NDArray[np.float64]:
    colour = given.shape.channels == 3
    return np.stack(
        [
            hog(
                image if colour else image[:, :, 0],
                orientations=orientations,
                pixels_per_cell=(cell, cell),
                cells_per_block=(block, block),
                block_norm="L2-Hys",
                channel_axis=2 if colour else None,
            )
            for image in given.take(slice(None)) / 255.0
        ]
    )


@pytest.mark.parametrize(
    ("height", "width", "cell", "orientations", "block"),
    [(28, 28, 4, 9, 2), (28, 28, 7, 9, 3), (32, 24, 8, 9, 1), (30, 45, 5, 7, 2), (16, 16, 2, 9, 2)],
)
def test_hog_equals_scikit_images_on_grey_images(
    height: int, width: int, cell: int, orientations: int, block: int
) -> None:
    given = images(12, height, width)
    ours = embedded(fitted("hog", given, cell=cell, orientations=orientations, block=block), given)
    np.testing.assert_allclose(ours, skimage_hog(given, cell, orientations, block), atol=1e-5)


def test_hog_of_colour_equals_scikit_images() -> None:
    given = images(12, 24, 32, channels=3)
    np.testing.assert_allclose(embedded(fitted("hog", given, cell=8), given), skimage_hog(given, 8), atol=1e-5)


@pytest.mark.parametrize(("cell", "height", "width"), [(4, 28, 28), (32, 224, 224), (2, 8, 8), (27, 160, 224)])
def test_hogs_cell_is_a_seventh_of_the_images_side_and_two_pixels_at_least(cell: int, height: int, width: int) -> None:
    given = images(2, height, width)
    assert np.array_equal(embedded(fitted("hog", given), given), embedded(fitted("hog", given, cell=cell), given))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 3), (1, 40), (13, 20), (300, 7)])
def test_hog_takes_images_of_any_size(height: int, width: int) -> None:
    given = images(3, height, width)
    vectors = embedded(fitted("hog", given), given)
    assert np.isfinite(vectors).all()
    assert (vectors != 0).any(axis=1).all()


def test_hog_sees_the_same_in_an_image_and_in_its_negative() -> None:
    given = images(4, 28, 28)
    negative = Images(255 - given.pixels)
    method = fitted("hog", given)
    np.testing.assert_allclose(embedded(method, given), embedded(method, negative), atol=1e-5)


def test_random_is_untrained_even_where_weights_are_at_hand() -> None:
    method = fitted("random", images(20, 32, 32, 3), encoder="timm/tf_efficientnet_lite0")
    assert method.embedder.encoder.pretrained() == []
