"""Training on features of a backbone that never moves: the same as training behind it, and each computed once."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bench.contract import Budget, Images, ImageShape, MethodError, RunContext, Split, UsageError
from bench.options import build
from bench.registry import get_method
from bench.runs.fitting import MemoryHistory
from bench.training.augment import Augmentation
from bench.training.batches import Batches, Features, to_unit_float
from bench.training.checkpoints import FolderCheckpoints
from bench.training.encoders.encoder import build_encoder
from bench.training.encoders.stages import cut
from bench.training.encoders.timm import Backbone, TimmEncoder
from bench.training.features import FEATURES, Extraction, FrozenFeatures, View, folded, views_of
from bench.training.phases import plan_epochs
from bench.training.trained import Job

T = TypeVar("T")
CPU = torch.device("cpu")
LIGHT = Augmentation("light", mirror=True)


@pytest.fixture(autouse=True)
def _short_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.training.batches._SHORTEST_EPOCH", 3)


def context(folder: Path, budget: Budget | None = None) -> RunContext:
    def bar(items: Iterable[T], *, total: int, what: str) -> Iterable[T]:
        return items

    checkpoints, history = FolderCheckpoints(folder), MemoryHistory()
    return RunContext(0, CPU, ("a", "b"), True, budget or Budget(), checkpoints, history, bar, lambda line: None)


def made(count: int, seed: int = 0, side: int = 12) -> Split:
    rng = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int64) % 2
    pixels = (labels[:, None, None, None] * 90 + rng.integers(0, 120, (count, side, side, 3))).astype(np.uint8)
    return Split(Images(pixels), labels, np.arange(count).astype(np.str_))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of timm's smallest network, which is not one of them itself: what it was trained to is no matter here."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_file(timm.create_model("test_efficientnet").state_dict(), path)
    return path


def head_on(weights: Path, name: str = "softmax", **options: Any) -> Any:
    frozen = {"encoder": "timm/test_efficientnet", "weights": str(weights), "freeze_fraction": 1}
    small = {"embedding_dim": 8, "batch_size": 8, "epochs": 2, "precision": "float32"}
    return build(get_method(name), frozen | small | options, owner=name)


def rows_of(run: RunContext) -> list[dict[str, Any]]:
    """The epochs, without what a clock says."""
    rows = [dict(row) for row in run.history.rows() if row["phase"] != FEATURES]
    return [{name: value for name, value in row.items() if "seconds" not in name} for row in rows]


def assert_same_training(one: Any, other: Any, rows: list[dict[str, Any]], others: list[dict[str, Any]]) -> None:
    assert len(rows) == len(others) > 1
    for row, theirs in zip(rows, others, strict=True):
        assert row == pytest.approx(theirs, abs=1e-4)
    state = other.state()
    for name, tensor in one.state().items():
        torch.testing.assert_close(tensor, state[name], atol=1e-4, rtol=1e-3, msg=name)


@pytest.mark.parametrize(("name", "hidden"), [("softmax", 0), ("triplet", 12)])
def test_a_head_on_features_learns_what_it_learns_behind_the_backbone(
    tmp_path: Path, weights: Path, name: str, hidden: int
) -> None:
    train, validation = made(24), made(10, 1)
    quick, slow = (head_on(weights, name, augment="none", hidden=hidden) for _ in range(2))
    slow.uses_pixels = True  # as a method whose loss looks at images: each step goes through the backbone
    runs = context(tmp_path / "quick"), context(tmp_path / "slow")
    quick.fit(train, validation, runs[0])
    slow.fit(train, validation, runs[1])
    assert_same_training(quick, slow, rows_of(runs[0]), rows_of(runs[1]))
    assert [row["phase"] for row in runs[1].history.rows()].count(FEATURES) == 0


class Live(Features):
    """Views of images that go through the backbone whenever they are asked for."""

    backbone: nn.Module
    split: Split

    def take(self, rows: Any, rng: np.random.Generator) -> Tensor:
        numbers = rng.integers(3, size=len(rows))
        every = np.arange(len(self.split), dtype=np.int64)
        seen = torch.stack([View(number, LIGHT, 0).of(self.split, every) for number in range(3)])
        with torch.no_grad():
            features: Tensor = self.backbone(to_unit_float(seen[numbers, rows], CPU))
        return features


@pytest.mark.parametrize("tuned", [0, 2])
def test_what_learns_on_augmented_views_learns_what_it_learns_behind_the_rest(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, tuned: int
) -> None:
    train, validation = made(16, side=40), made(10, 1, side=40)  # no more than are put through the backbone at once
    quick, slow = (head_on(weights, views=3, tuned_stages=tuned) for _ in range(2))
    runs = context(tmp_path / "quick"), context(tmp_path / "slow")
    quick.fit(train, validation, runs[0])
    compute = type(slow).features

    def live(self: Any, job: Job) -> FrozenFeatures:
        found: FrozenFeatures = compute(self, job)
        features = Live(torch.zeros(1, 1, 1))
        object.__setattr__(features, "backbone", self.embedder.encoder.parts(tuned)[0])
        object.__setattr__(features, "split", train)
        return replace(found, train=features)

    monkeypatch.setattr(type(slow), "features", live)
    slow.fit(train, validation, runs[1])
    assert_same_training(quick, slow, rows_of(runs[0]), rows_of(runs[1]))


def test_last_stages_learn_and_all_before_them_and_every_statistic_stays(tmp_path: Path, weights: Path) -> None:
    run, train = context(tmp_path), made(24)
    method = head_on(weights, tuned_stages=2, hidden=6, backbone_lr_mult=1.0)
    method.fit(train, made(10, 1), run)
    before, after = timm.create_model("test_efficientnet"), method.embedder.encoder.backbone.model.state_dict()
    before.load_state_dict(load_file(weights))
    moved = {name for name, tensor in before.state_dict().items() if name in after and not tensor.equal(after[name])}
    stages = len([*before.get_submodule("blocks").children()])
    last = (*(f"blocks.{number}." for number in range(stages - 2, stages)), "conv_head", "bn2")
    assert all(name.startswith(last) for name in moved)
    assert not any("running" in name for name in moved)
    assert {name.partition(".")[0] for name in moved} == {"blocks", "conv_head", "bn2"}
    again = head_on(weights, tuned_stages=2, hidden=6)
    again.restore(method.state(), train.images.shape, CPU)
    pixels = to_unit_float(torch.from_numpy(train.images.pixels), CPU)
    with torch.no_grad():
        assert torch.equal(again.embed(pixels), method.embed(pixels))


@pytest.mark.parametrize("name", ["test_efficientnet", "resnet10t"])
def test_first_and_last_stages_make_up_the_model(name: str) -> None:
    shape = ImageShape(40, 40, 3)
    encoder = TimmEncoder(name, shape, 8, weights="none", size=64)
    backbone = encoder.backbone.eval()
    pixels = torch.rand(3, 3, 40, 40)
    with torch.no_grad():
        whole = backbone(pixels)
        for last in range(1, 4):
            first, rest = cut(backbone, last)
            activations = first.eval()(pixels)
            assert activations.shape[0] == 3
            assert activations.ndim == 2
            torch.testing.assert_close(rest.train()(activations), whole)


def test_stages_that_cannot_be_tuned_are_refused(weights: Path) -> None:
    for name, wrong in (("softmax", {"freeze_fraction": 0.2}), ("softmax", {"weights": "none"}), ("autoencoder", {})):
        options = {"encoder": "timm/test_efficientnet", "weights": str(weights), "freeze_fraction": 1, **wrong}
        with pytest.raises(UsageError, match="needs freeze_fraction=1, pretrained weights and a loss that sees no"):
            build(get_method(name), options | {"tuned_stages": 1}, owner=name)
    with pytest.raises(UsageError, match="ResNetEncoder has no pretrained stages"):
        build_encoder("resnet", ImageShape(12, 12, 3), 8).parts(1)
    backbone = Backbone("test_efficientnet", ImageShape(40, 40, 3), weights="none")
    with pytest.raises(UsageError, match="must be below"):
        cut(backbone, 9)
    with pytest.raises(UsageError, match=r"needs an EfficientNet or a ResNet.*not VisionTransformer"):
        cut(Backbone("test_vit", ImageShape(40, 40, 3), weights="none"), 1)


class Crossed(nn.Module):
    """A network whose batch norm is defined behind one convolution and called behind another."""

    def __init__(self) -> None:
        super().__init__()
        self.early, self.late, self.norm = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)

    def forward(self, pixels: Tensor) -> Tensor:
        activations: Tensor = self.late(self.norm(self.early(pixels)))
        return activations.mean(dim=(2, 3))


def test_features_are_computed_with_folded_batch_norms_where_that_gives_the_same(tmp_path: Path) -> None:
    torch.manual_seed(0)
    split = made(20, side=40)
    pixels = to_unit_float(torch.from_numpy(split.images.pixels), CPU)
    for backbone, folds in (
        (Backbone("test_efficientnet", ImageShape(40, 40, 3), weights="none"), True),
        (Crossed(), False),
    ):
        for name, buffer in backbone.named_buffers():
            if "running" in name:
                buffer.uniform_(0.5, 2)
        slow = deepcopy(backbone).eval()
        with torch.no_grad():
            quick = folded(slow)(pixels)
            assert torch.allclose(quick, slow(pixels), atol=1e-4) is folds
            found = Extraction(backbone, context(tmp_path / type(backbone).__name__)).of(split, "train")
            torch.testing.assert_close(found.plain(), slow(pixels), atol=1e-4, rtol=1e-3)
    assert sum(isinstance(one, nn.BatchNorm2d) for one in folded(slow).modules()) == 0


class Counting(nn.Module):
    """Three features of an image, and how many images were asked for; the power fails after some."""

    def __init__(self, enough: int = 10_000) -> None:
        super().__init__()
        self.seen, self.enough = 0, enough

    def forward(self, pixels: Tensor) -> Tensor:
        if self.seen >= self.enough:
            raise InterruptedError
        self.seen += len(pixels)
        return pixels.mean(dim=(2, 3))


def test_a_killed_extraction_goes_on_where_it_stopped_and_counts_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.training.features._SAVED", 32)
    split, views = made(100), views_of(2, LIGHT, seed=3)
    whole = Extraction(Counting(), context(tmp_path / "whole")).of(split, "train", views)
    with pytest.raises(InterruptedError):
        Extraction(Counting(enough=150), context(tmp_path / "killed")).of(split, "train", views)
    backbone, run = Counting(), context(tmp_path / "killed")
    again = Extraction(backbone, run)
    assert torch.equal(again.of(split, "train", views).views, whole.views)
    assert backbone.seen == 200 - 164  # four pieces of the first view and two of the second were there
    again.record()
    (row,) = run.history.rows()
    assert (row["phase"], row["step"]) == (FEATURES, 0)
    assert float(row["seconds"]) == pytest.approx(again.seconds, abs=1e-3)
    assert again.seconds > 0


def sharing(folder: Path, run: str) -> RunContext:
    """A run of its own that shares features with others."""
    return replace(context(folder / run), shared=FolderCheckpoints(folder / "features"))


@pytest.fixture
def _few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.training.features._SAVED", 32)
    monkeypatch.setattr("bench.training.features.AT_ONCE", 8)


@pytest.mark.usefixtures("_few_at_once")
def test_runs_take_each_others_features_of_the_same_pixels_and_count_their_time(tmp_path: Path) -> None:
    split, views = made(100), views_of(2, LIGHT, seed=3)
    first = Extraction(Counting(), sharing(tmp_path, "first"))
    whole = first.of(split, "train", views)
    backbone = Counting()
    second = Extraction(backbone, sharing(tmp_path, "second"))
    assert torch.equal(second.of(split, "anything", views).views, whole.views)
    assert backbone.seen == 2 * (8 + 8 + 8 + 4)  # a few of each piece, to see that they are what was kept
    assert (second.seconds, second.cpu_seconds) == (first.seconds, first.cpu_seconds)
    assert not (tmp_path / "second").exists(), "nothing is kept twice"
    backbone = Counting()
    other = Extraction(backbone, sharing(tmp_path, "third")).of(split, "train", views_of(2, LIGHT, seed=4))
    assert torch.equal(other.plain(), whole.plain())
    assert backbone.seen == 28 + 100  # the images as they are were there, other draws of augmentation were not


@pytest.mark.usefixtures("_few_at_once")
def test_features_of_other_pixels_or_another_network_are_not_taken(tmp_path: Path) -> None:
    class Louder(Counting):
        def forward(self, pixels: Tensor) -> Tensor:
            return 2 * super().forward(pixels)

        def __repr__(self) -> str:
            return repr(Counting())

    split = made(40)
    whole = Extraction(Counting(), sharing(tmp_path, "first")).of(split, "train").plain()
    assert not torch.equal(Extraction(Counting(), sharing(tmp_path, "b")).of(made(40, seed=1), "train").plain(), whole)
    louder = Louder()  # the same weights, and other code
    assert torch.equal(Extraction(louder, sharing(tmp_path, "c")).of(split, "train").plain(), 2 * whole)
    assert louder.seen == 40 + 8 + 8
    torch.manual_seed(0)
    shape = ImageShape(12, 12, 3)
    one, other = (Backbone("test_efficientnet", shape, weights="none") for _ in range(2))
    vectors = [Extraction(net, sharing(tmp_path, str(id(net)))).of(split, "train").plain() for net in (one, other)]
    assert not torch.equal(*vectors)


@pytest.mark.usefixtures("_few_at_once")
def test_features_are_kept_for_the_run_alone_where_they_are_large_or_cannot_be_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "features").write_text("in the way")
    Extraction(Counting(), sharing(tmp_path, "first")).of(made(20), "train")
    assert [path.name for path in (tmp_path / "first").iterdir()] == [f"{FEATURES}-train-0-0.safetensors"]
    (tmp_path / "features").unlink()
    monkeypatch.setattr("bench.training.features._LARGE", 11)
    Extraction(Counting(), sharing(tmp_path, "second")).of(made(20), "train")
    assert (tmp_path / "second").is_dir()
    assert not (tmp_path / "features").exists()


@pytest.mark.usefixtures("_few_at_once")
def test_where_more_images_are_shown_at_a_time_their_views_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split, views = made(100, side=40), views_of(3, LIGHT, seed=3)
    few = Extraction(Counting(), sharing(tmp_path, "few")).of(split, "train", views).views
    sizes: list[int] = []

    class Noting(Counting):
        def forward(self, pixels: Tensor) -> Tensor:
            sizes.append(len(pixels))
            return super().forward(pixels)

    monkeypatch.setattr("bench.training.features.at_once", lambda device: 24)
    many = Extraction(Noting(), context(tmp_path / "many")).of(split, "train", views).views
    assert torch.equal(many, few)
    assert max(sizes) == 24
    assert sum(sizes) == 300


def test_the_first_view_is_the_image_and_others_are_augmented_by_draws_of_their_own() -> None:
    split, rows = made(16, side=40), np.arange(16, dtype=np.int64)
    plain, one, two, again = (view.of(split, rows) for view in [*views_of(3, LIGHT, 5), View(2, LIGHT, 5)])
    assert np.array_equal(plain, split.images.pixels)
    assert not torch.equal(one, two)
    assert torch.equal(two, again)
    assert not torch.equal(two, View(2, LIGHT, 6).of(split, rows))


def test_without_augmentation_there_is_one_view_and_without_images_there_are_no_features(tmp_path: Path) -> None:
    views = views_of(4, Augmentation("none", mirror=True), 0)
    assert views == [View(0, Augmentation("none", mirror=True), 0)]
    nothing = Extraction(Counting(), context(tmp_path)).of(made(0), "validation")
    assert len(nothing.plain()) == 0


def test_features_that_would_take_too_much_memory_are_kept_in_half_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Extraction(Counting(), context(tmp_path / "a")).of(made(20), "train").views
    monkeypatch.setattr("bench.training.features._LARGEST", 4 * 20 * 3 - 1)
    halved = Extraction(Counting(), context(tmp_path / "b")).of(made(20), "train")
    assert (whole.dtype, halved.views.dtype) == (torch.float32, torch.float16)
    assert halved.plain().dtype == torch.float32
    assert torch.allclose(halved.plain(), whole[0], atol=1e-3)


def test_a_batch_of_features_has_the_images_that_a_batch_of_pixels_has() -> None:
    split = made(24)
    numbered = Features(torch.arange(24.0).expand(2, 24)[:, :, None] + torch.tensor([0.0, 100.0])[:, None, None])
    pixels, features = Batches(split, 8, CPU, seed=1), Batches(split, 8, CPU, seed=1, features=numbered)
    for one, other in zip(pixels.epoch(0), features.epoch(0), strict=True):
        assert torch.equal(one.rows, other.rows)
        assert torch.equal(other.inputs[:, 0] % 100, one.rows.float())
        assert set((other.inputs[:, 0] // 100).tolist()) == {0.0, 1.0}


def test_a_loss_that_asks_features_for_pixels_is_told_how_to_get_them() -> None:
    features = Features(torch.zeros(1, 24, 3))
    batch = next(Batches(made(24), 8, CPU, seed=1, features=features).epoch(0))
    with pytest.raises(MethodError, match="uses_pixels = True"):
        _ = batch.pixels


def test_a_budget_in_seconds_pays_for_the_features_too(tmp_path: Path) -> None:
    plans = []
    for spent in (0.0, 60.0, 1000.0):
        run = context(tmp_path / str(spent), Budget(seconds=100.0))
        run.history.add({"phase": FEATURES, "epoch": 0, "step": 0, "seconds": spent})
        plans.append(plan_epochs({"1-encoder": 14.0}, run, lambda: {"1-encoder": 1.0})["1-encoder"])
    assert plans == pytest.approx([90.0, 36.0, 9.0])  # a tenth of the budget is the head's in any case
