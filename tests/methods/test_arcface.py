"""ArcFace on real images: it learns, it decodes, and the same seed gives the same numbers to the last digit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.contract import ImageShape
from bench.runs.store import all_runs
from bench.training.checkpoints import load_tensors
from bench.training.embedder import Embedder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, digits_run: Callable[..., Any]) -> Any:
    words = ("batch_size=16", "epochs=0.4", "decoder_epochs=0.4", "joint_epochs=0.2")
    return digits_run("arcface", tmp_path_factory.mktemp("trained"), words, limit=400)


def test_it_beats_the_pixels_by_far_after_moments_of_training(trained: Any, tmp_path: Path, digits_run: Any) -> None:
    pixels = digits_run("pixels", tmp_path, limit=400)
    assert trained.result.scores["map"] > pixels.result.scores["map"] + 0.1


def test_the_same_seed_gives_the_same_scores_to_the_last_digit(tmp_path: Path, digits_run: Any) -> None:
    short = ("batch_size=16", "epochs=0.02", "decoder_epochs=0.02", "joint_epochs=0.02")
    first, second = (digits_run("arcface", tmp_path / name, short, limit=200).result for name in ("first", "second"))
    assert first.scores == second.scores
    assert first.ci95 == second.ci95


def test_decoded_images_embed_near_their_own_query(trained: Any) -> None:
    scores = trained.result.scores
    assert scores["decode_cosine"] > scores["decode_cosine_shuffled"] + 0.2


def test_its_history_has_every_phase_with_train_and_validation_numbers(trained: Any) -> None:
    text = (trained.folder / "history.csv").read_text(encoding="utf-8")
    assert {"1-encoder", "2-decoder", "3-joint"} <= {line.split(",")[0] for line in text.splitlines()}
    for column in ("train_loss", "val_accuracy", "val_map", "val_mse", "val_decode_cosine", "train_cycle"):
        assert column in text.splitlines()[0]


def test_its_samples_are_originals_and_reconstructions_of_the_same_size(trained: Any) -> None:
    with np.load(trained.folder / "samples.npz", allow_pickle=False) as samples:
        assert samples["originals"].shape == samples["decoded"].shape == (16, 8, 8, 1)
        assert samples["originals"].dtype == samples["decoded"].dtype == np.uint8


@pytest.mark.parametrize(("words", "phases"), [((), (1,)), (("decoder_epochs=0",), None)])
def test_some_phases_can_be_run_and_without_a_decoder_nothing_is_decoded(
    tmp_path: Path, digits_run: Any, words: tuple[str, ...], phases: tuple[int, ...] | None
) -> None:
    run = digits_run("arcface", tmp_path, ("batch_size=16", *words), epochs=0.01, phases=phases, limit=100)
    assert "2-decoder" not in (run.folder / "history.csv").read_text(encoding="utf-8")
    assert "decode_cosine" not in run.result.scores
    assert not (run.folder / "samples.npz").exists()
    assert len(all_runs(tmp_path)) == 1


def test_pretrained_weights_that_stood_still_in_the_first_phase_move_in_the_third(
    tmp_path: Path, digits_run: Any
) -> None:
    encoder = "timm/tf_efficientnet_lite0"
    words = (
        f"encoder={encoder}",
        "freeze_fraction=0.99",
        "batch_size=8",
        "embedding_dim=16",
        "ema_decay=0",
        "joint_encoder_lr=0.01",
    )
    run = digits_run("arcface", tmp_path, words, epochs=0.005, limit=60)
    assert run.status == "done", run.result.reason
    weights, _ = load_tensors(run.folder / "weights.safetensors")
    first = Embedder(encoder, ImageShape(8, 8, 1), 16).encoder.pretrained()[0]
    (name,) = [name for name in weights if name.endswith("conv_stem.weight")]
    assert weights[name].shape == first.shape
    assert not torch.equal(weights[name], first)


def test_a_backbone_that_never_moves_stands_still_in_all_phases(tmp_path: Path, digits_run: Any) -> None:
    encoder = "timm/tf_efficientnet_lite0"
    words = (f"encoder={encoder}", "freeze_fraction=1", "views=2", "batch_size=8", "embedding_dim=16")
    run = digits_run("arcface", tmp_path, words, epochs=0.02, limit=60)
    assert run.status == "done", run.result.reason
    weights, _ = load_tensors(run.folder / "weights.safetensors")
    backbone = Embedder(encoder, ImageShape(8, 8, 1), 16).encoder.state_dict()
    for name, tensor in backbone.items():
        if name.startswith("backbone.") and tensor.dtype.is_floating_point:
            assert torch.equal(weights[f"embedder.encoder.{name}"], tensor), name
    phases = [line.split(",")[0] for line in (run.folder / "history.csv").read_text(encoding="utf-8").splitlines()[1:]]
    assert phases == ["0-features", "1-encoder", "2-decoder", "3-joint"]


@pytest.mark.parametrize("phases", [(2,), (1, 4), (1, 3), (2, 1)])
def test_phases_that_cannot_be_are_a_failed_run_with_the_reason(
    tmp_path: Path, digits_run: Any, phases: tuple[int, ...]
) -> None:
    run = digits_run("arcface", tmp_path, epochs=0.1, phases=phases)
    assert run.status == "failed"
    assert "phases 1, 2, 3" in run.result.reason
