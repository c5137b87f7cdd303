"""The pretrained method: what it fits, it fits on the training images alone, and as scikit-learn would."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor
from torch.nn import functional as F

from bench import Images, RunContext, Split, UsageError
from bench.contract import Budget
from bench.evaluation.inference.embed import embed_images
from bench.options import build
from bench.registry import get_method
from bench.runs.fitting import MemoryHistory
from bench.training.checkpoints import FolderCheckpoints
from bench.training.encoders.timm import Backbone

T = TypeVar("T")
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def made(count: int, seed: int, channels: int = 3) -> Split:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 12, 10, channels), dtype=np.uint8)
    return Split(Images(pixels), np.arange(count, dtype=np.int64) % 2, np.arange(count).astype(np.str_))


def context(folder: Path) -> RunContext:
    def bar(items: Iterable[T], *, total: int, what: str) -> Iterable[T]:
        seen = list(items)
        assert len(seen) == total
        return seen

    checkpoints = FolderCheckpoints(folder)
    history, budget = MemoryHistory(), Budget()
    return RunContext(0, CPU, ("a", "b"), True, budget, checkpoints, history, bar, lambda line: None)


def fitted(folder: Path, train: Split, **options: Any) -> Any:
    method = build(get_method("pretrained"), {"size": 32} | options, owner="pretrained")
    method.fit(train, made(0, 9), context(folder))
    return method


def features(split: Split) -> Tensor:
    """Unit features of Lite0, of one image at a time."""
    backbone = Backbone("tf_efficientnet_lite0", split.images.shape, size=32).eval()
    pixels = torch.from_numpy(split.images.take(slice(None))).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        return F.normalize(torch.cat([backbone(one[None]) for one in pixels]), dim=1)


def test_the_mean_of_the_training_images_is_taken_out_of_unit_features(tmp_path: Path) -> None:
    train, query = made(40, 0), made(6, 1)
    method = fitted(tmp_path, train)
    expected = F.normalize(features(query) - features(train).mean(dim=0), dim=1)
    assert np.allclose(embed_images(method, query.images, device=CPU), expected, atol=1e-4)
    plain = fitted(tmp_path, train, center=False)
    assert np.allclose(embed_images(plain, query.images, device=CPU), features(query), atol=1e-4)


@pytest.mark.parametrize("whiten", [False, True])
def test_components_of_the_training_images_are_scikit_learns(tmp_path: Path, whiten: bool) -> None:
    train, query = made(60, 0), made(6, 1)
    method = fitted(tmp_path, train, pca=8, whiten=whiten)
    oracle = PCA(8, whiten=whiten, svd_solver="full").fit(features(train).double().numpy())
    expected = F.normalize(torch.from_numpy(oracle.transform(features(query).double().numpy())), dim=1)
    assert np.allclose(embed_images(method, query.images, device=CPU), expected, atol=1e-3)


def test_the_sample_is_evenly_spaced_over_the_training_images(tmp_path: Path) -> None:
    train = made(21, 0)
    method = fitted(tmp_path, train, sample=3)
    chosen = features(train)[[0, 10, 20]].mean(dim=0)
    assert torch.allclose(method.state()["whitening.mean"], chosen, atol=1e-5)


@pytest.mark.parametrize(("pca", "sample"), [(40, 2_000), (5, 5)])
def test_more_components_than_the_images_span_are_refused(tmp_path: Path, pca: int, sample: int) -> None:
    with pytest.raises(UsageError, match="span"):
        fitted(tmp_path, made(30, 0), pca=pca, sample=sample)


def test_bad_options_are_refused_before_anything_is_computed() -> None:
    for options, said in (
        ({"center": False, "whiten": True}, "need center=true"),
        ({"sample": 0}, "sample must be at least 1"),
        ({"model": "resnet5"}, "did you mean"),
        ({"precision": "float8"}, "expected one of"),
    ):
        with pytest.raises(UsageError, match=said):
            build(get_method("pretrained"), options, owner="pretrained")


def test_bfloat16_gives_nearly_the_same_vectors_also_alone(tmp_path: Path) -> None:
    train = made(40, 0)
    exact, short = (fitted(tmp_path, train, precision=p, center=False) for p in ("float32", "bfloat16"))
    left, right = (embed_images(method, train.images, device=CPU) for method in (exact, short))
    assert float((left * right).sum(axis=1).min()) > 0.99
    alone = embed_images(short, train.images, device=CPU, batch_size=1)
    assert float((right * alone).sum(axis=1).min()) > 0.998  # by other kernels, where the processor has tile units


def test_what_it_saves_holds_the_network_and_needs_no_weights_to_come_back(tmp_path: Path) -> None:
    train = made(30, 0, channels=1)
    method = fitted(tmp_path, train, pca=4)
    fresh: Any = build(get_method("pretrained"), {"size": 32, "weights": "gone.safetensors"}, owner="pretrained")
    fresh.restore(method.state(), train.images.shape, CPU)
    before, after = (embed_images(one, train.images, device=CPU) for one in (method, fresh))
    assert np.allclose(before, after, atol=1e-6)
    assert fresh.count_parameters() == method.count_parameters() > 3_000_000
