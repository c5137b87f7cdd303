"""The trained methods on real images: each learns, all share their defaults, and each keeps its own promise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from bench.contract import ImageShape, pair_scorer_of, saver_of
from bench.options import build, search_space
from bench.plugins import METHOD
from bench.registry import get_method, plugin_names
from bench.training.checkpoints import load_tensors
from bench.training.trained import TrainedMethod, deviations

pytestmark = pytest.mark.slow

TRAINED = [name for name in plugin_names(METHOD) if issubclass(get_method(name), TrainedMethod)]
CPU = torch.device("cpu")
# An epoch has 200 steps however few the images: small batches learn these digits as well, sooner.
SMALL = "batch_size=16"
FEW = 400  # images to learn from, and to be scored on
SIMPLE = "encoder=simplecnn"  # where a loss is under test, not the encoder


def loaded(run: Any) -> Any:
    """Return the method of a run of digits, from its options and its weights."""
    spec = run.result.spec
    method = build(get_method(spec.method), spec.options, owner=spec.method)
    saver = saver_of(method)
    assert saver is not None
    saver.restore(load_tensors(run.folder / "weights.safetensors")[0], ImageShape(8, 8, 1), CPU)
    return method


def digits(count: int) -> torch.Tensor:
    """Return the first digits as a method is given them: the loader's own scaling of 0..16 to bytes and [0, 1]."""
    bytes_ = np.round(load_digits().images[:count] * 255 / 16).astype(np.uint8)
    return torch.from_numpy(bytes_)[:, None].float() / 255


@pytest.fixture(scope="module")
def floor(tmp_path_factory: pytest.TempPathFactory, digits_run: Callable[..., Any]) -> float:
    return float(digits_run("random", tmp_path_factory.mktemp("floor"), limit=FEW).result.scores["map"])


def test_the_mission_s_methods_are_all_there() -> None:
    assert {"arcface", "autoencoder", "siamese", "siamese_bce", "triplet", "softmax"} <= set(TRAINED)
    assert {"proxy_anchor", "supcon", "multi_similarity"} <= set(TRAINED)
    assert {"pretrained", "random", "pixels", "pca", "hog"} <= set(plugin_names(METHOD))


@pytest.mark.parametrize("name", TRAINED)
def test_a_method_learns_in_moments_what_its_untrained_encoder_does_not_know(
    name: str, tmp_path: Path, digits_run: Callable[..., Any], floor: float
) -> None:
    run = digits_run(name, tmp_path, (SMALL,), epochs=0.6 if name == "autoencoder" else 0.3, phases=(1,), limit=FEW)
    assert run.status == "done", run.result.reason
    assert run.result.scores["map"] > floor + (0.05 if name == "autoencoder" else 0.2)
    history = (run.folder / "history.csv").read_text(encoding="utf-8").splitlines()[0]
    assert {"train_loss", "val_map", "seconds"} <= set(history.split(","))


@pytest.mark.parametrize("name", TRAINED)
def test_all_share_encoder_dimension_augmentation_and_budget_by_default(name: str) -> None:
    assert deviations(get_method(name)()) == {}
    assert {"lr", "weight_decay"} <= set(search_space(get_method(name)))


def test_a_run_that_differs_says_so(tmp_path: Path, digits_run: Callable[..., Any]) -> None:
    run = digits_run(
        "siamese", tmp_path, ("encoder=embeddingnet", "embedding_dim=32", "augment=rand"), epochs=0.01, limit=60
    )
    assert run.result.deviations == {"encoder": "embeddingnet", "embedding_dim": 32, "augment": "rand"}
    assert run.result.embedding_dim == 32


@pytest.mark.parametrize("pairs", ["all", "balanced"])
def test_pair_scores_are_the_cosine_and_a_probability_that_grows_with_it(
    pairs: str, tmp_path: Path, digits_run: Callable[..., Any]
) -> None:
    run = digits_run("siamese_bce", tmp_path, (SMALL, SIMPLE, f"pairs={pairs}"), epochs=0.5, limit=FEW)
    scorer = pair_scorer_of(loaded(run))
    assert scorer is not None
    pixels, labels = digits(200), torch.from_numpy(load_digits().target[:200])
    with torch.inference_mode():
        cosine, probability = scorer.pair_score(pixels[:100], pixels[100:])
        same, certain = scorer.pair_score(pixels, pixels)
    order = cosine.argsort()
    assert (probability[order].diff() >= 0).all()
    assert torch.allclose(same, torch.ones(200), atol=1e-5)
    assert (certain > 0.9).all()
    alike = labels[:100] == labels[100:]
    assert probability[alike].mean() > probability[~alike].mean() + 0.3


@pytest.mark.parametrize(
    "words", [("mining=random",), ("mining=batch_hard",), ("mining=distance_weighted",), ("classify=0.5",)]
)
def test_every_kind_of_triplet_learns_and_records_the_triplets_in_order(
    words: tuple[str, ...], tmp_path: Path, digits_run: Callable[..., Any], floor: float
) -> None:
    run = digits_run("triplet", tmp_path, (SMALL, SIMPLE, *words), epochs=0.3, limit=FEW)
    assert run.result.scores["map"] > floor + 0.1
    assert "val_satisfied" in (run.folder / "history.csv").read_text(encoding="utf-8").splitlines()[0]


@pytest.mark.parametrize("words", [(), ("noise=0.1",), ("variational=true",)])
def test_every_kind_of_autoencoder_paints_better_than_the_mean_image(
    words: tuple[str, ...], tmp_path: Path, digits_run: Callable[..., Any]
) -> None:
    scores = digits_run("autoencoder", tmp_path, (SMALL, *words), epochs=0.4, limit=FEW).result.scores
    pixels = digits(1797)
    assert scores["pixel_mse"] < 0.6 * float((pixels - pixels.mean(dim=0)).square().mean())
    assert scores["decode_cosine"] > scores["decode_cosine_shuffled"] + 0.1


def test_softmax_can_embed_as_class_scores(tmp_path: Path, digits_run: Callable[..., Any]) -> None:
    run = digits_run("softmax", tmp_path, (SMALL, "logits=true"), epochs=0.3, limit=FEW)
    assert run.result.embedding_dim == 10
    assert run.result.scores["map"] > 0.7


def test_class_scores_are_what_another_engine_would_compile(tmp_path: Path, digits_run: Callable[..., Any]) -> None:
    method = loaded(digits_run("softmax", tmp_path, ("logits=true", SMALL), epochs=0.005, limit=60))
    assert torch.equal(method.network()(digits(3)), method.embed(digits(3)))


def test_a_timm_backbone_is_trained_on_saved_and_loaded(tmp_path: Path, digits_run: Callable[..., Any]) -> None:
    words = ("encoder=timm/tf_efficientnet_lite0", "freeze_fraction=0.5", "batch_size=8", "embedding_dim=16")
    run = digits_run("proxy_anchor", tmp_path, words, epochs=0.005, limit=60)
    assert run.status == "done", run.result.reason
    assert loaded(run).embed(digits(3)).shape == (3, 16)


@pytest.mark.parametrize(
    "word", ["lr=0", "embedding_dim=0", "batch_size=1", "freeze_fraction=2", "grad_clip=-1", "ema_decay=1.5"]
)
def test_nonsense_is_refused_with_the_options_name(word: str) -> None:
    with pytest.raises(Exception, match=word.partition("=")[0]):
        build(get_method("triplet"), dict([word.split("=")]), owner="method triplet")
