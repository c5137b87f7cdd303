"""Discriminant analysis: its scatters against scikit-learn's, and what it makes of classes and of none."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf_shrinkage
from torch import Tensor
from torch.nn import functional as F

from bench.contract import Budget, Images, RunContext, Split, UsageError
from bench.options import build
from bench.registry import get_method
from bench.runs.fitting import MemoryHistory
from bench.training.checkpoints import FolderCheckpoints
from bench.training.validation import retrieval_map

T = TypeVar("T")
SMALL = {"model": "test_efficientnet", "weights": "none"}  # timm's smallest


def scatters(vectors: Tensor, labels: NDArray[np.int64]) -> Any:
    return get_method("lda").fit.__globals__["Scatters"].of(vectors, labels)


def clouds(classes: int, each: int, *, dims: int = 12, seed: int = 0) -> tuple[Tensor, NDArray[np.int64]]:
    """Classes far apart in the first two directions, and images of a class far apart in the last."""
    rng = np.random.default_rng(seed)
    labels = np.arange(classes * each, dtype=np.int64) % classes
    centres = np.random.default_rng(99).normal(0, 1, (classes, dims)) * ([2.0, 2.0] + [0.1] * (dims - 2))
    spread = np.array([0.6] * (dims - 1) + [6.0])
    return torch.from_numpy(centres[labels] + rng.normal(0, 1, (len(labels), dims)) * spread).float(), labels


def test_vectors_are_whitened_by_what_varies_within_classes() -> None:
    vectors, labels = clouds(5, 200)
    found = scatters(vectors, labels).components(1e-9, 4)
    mapped = found(vectors).double().numpy()
    within = np.concatenate([mapped[labels == one] - mapped[labels == one].mean(axis=0) for one in range(5)])
    covariance = within.T @ within / (len(within) - 5)
    correlation = covariance / np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    np.testing.assert_allclose(correlation, np.eye(4), atol=1e-4)


def test_a_directions_weight_is_the_share_of_its_variance_that_lies_between_classes() -> None:
    vectors, labels = clouds(5, 200)
    mapped = scatters(vectors, labels).components(1e-9, 4)(vectors).double().numpy()
    means = np.stack([mapped[labels == one].mean(axis=0) for one in range(5)])
    within = (mapped - means[labels]).T @ (mapped - means[labels]) / (len(mapped) - 5)
    between = means.T @ means / 5
    share = np.diag(between) / (np.diag(between) + np.diag(within))
    np.testing.assert_allclose(np.diag(within), share, rtol=1e-3)  # of unit variance before it was weighed
    assert (np.diff(share) < 0).all()


def test_the_shrinkage_without_validation_is_scikit_learns() -> None:
    vectors, labels = clouds(6, 10)
    exact = vectors.double()
    rest = exact - torch.stack([exact[labels == one].mean(dim=0) for one in range(6)])[labels]
    expected = ledoit_wolf_shrinkage(rest.numpy(), assume_centered=True)
    assert scatters(vectors, labels).ledoit_wolf == pytest.approx(expected, abs=1e-9)


def test_classes_are_told_apart_better_than_by_the_vectors_themselves() -> None:
    vectors, labels = clouds(6, 30)
    unseen, asked = clouds(6, 20, seed=1)
    found = scatters(vectors, labels)
    plain = retrieval_map(F.normalize(unseen - vectors.mean(dim=0), dim=1), torch.from_numpy(asked))
    mapped = retrieval_map(F.normalize(found.components(0.1, None)(unseen), dim=1), torch.from_numpy(asked))
    assert mapped > plain + 0.2


@pytest.mark.parametrize(("classes", "each"), [(1, 6), (4, 1), (2, 1), (2, 8)])
def test_one_class_or_one_image_a_class_gives_numbers(classes: int, each: int) -> None:
    vectors, labels = clouds(classes, each)
    one = scatters(vectors, labels)
    mapped = one.components(one.ledoit_wolf, None)(vectors + 0.1)
    assert torch.isfinite(mapped).all()
    assert (mapped.norm(dim=1) > 0).all()


def context(folder: Path) -> RunContext:
    def bar(items: Iterable[T], *, total: int, what: str) -> Iterable[T]:
        return items

    checkpoints, history = FolderCheckpoints(folder), MemoryHistory()
    lines: list[str] = []
    return RunContext(0, torch.device("cpu"), ("a", "b"), True, Budget(), checkpoints, history, bar, lines.append)


def made(count: int, seed: int) -> Split:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 12, 10, 3), dtype=np.uint8)
    return Split(Images(pixels), np.arange(count, dtype=np.int64) % 2, np.arange(count).astype(np.str_))


def test_its_shrinkage_is_the_best_on_validation_and_its_time_is_in_the_history(tmp_path: Path) -> None:
    cls, scored = get_method("lda"), list[float]()
    names = cls.fit.__globals__

    def score(vectors: Tensor, labels: Tensor) -> float:
        assert len(vectors) == len(labels) == 6  # the validation images
        scored.append(0.9 if len(scored) == 2 else 0.5)
        return scored[-1]

    method = build(cls, SMALL, owner="lda")
    run = context(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(names, "retrieval_map", score)
        method.fit(made(8, 0), made(6, 1), run)
    assert len(scored) == 6
    given: Any = build(cls, SMALL | {"shrinkage": 0.1}, owner="lda")
    given.fit(made(8, 0), made(6, 1), context(tmp_path))
    assert torch.equal(method.state()["whitening.axes"], given.state()["whitening.axes"])  # type: ignore[attr-defined]
    (row,) = run.history.rows()
    assert float(row["seconds"]) > 0


@pytest.mark.parametrize("options", [{"shrinkage": 0}, {"shrinkage": 1.5}, {"dims": 0}, {"size": 0}])
def test_nonsense_is_refused_with_the_options_name(options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        build(get_method("lda"), options, owner="method lda")
