"""Steps over buffers are the same steps, replayed as a graph would be too; and what no graph can hold is told."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from bench.contract import Budget, Images, RunContext, Split, UsageError
from bench.options import build
from bench.registry import get_method
from bench.runs.fitting import MemoryHistory
from bench.training import losses
from bench.training.batches import Batch
from bench.training.capturable import what_no_graph_holds
from bench.training.checkpoints import FolderCheckpoints
from bench.training.phase import Group, Optimization, Phase
from bench.training.steps import BufferedSteps, Setting, Steps, captured, steps_of
from bench.training.trained import Job, TrainedMethod

sys.path.append(str(Path(__file__).resolve().parents[1] / "support"))
from recorded import recorded

CPU = torch.device("cpu")
SETTINGS = [Setting(0.1 * n, min(0.9, (2 + n) / (11 + n)), (0.01 / (n + 1), 0.02 * (n % 2))) for n in range(6)]


def network() -> nn.Module:
    """Batch norm and dropout: buffers and random numbers too must not be moved by a warm-up."""
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Flatten(), nn.Dropout(0.2), nn.Linear(16, 8)
    )
    return layers.to(memory_format=torch.channels_last)


def phase(net: nn.Module, how: Optimization) -> Phase:
    head = losses.ArcFaceHead(8, 3, 8.0)

    def loss(batch: Batch, share: float | Tensor) -> Mapping[str, Tensor]:
        return {"loss": head(net(batch.inputs), batch.labels, 0.4 * share), "other": batch.inputs.mean()}

    groups = [Group(list(net.parameters()), 0.01, 0.1), Group(list(head.parameters()), 0.02)]
    module = nn.ModuleDict({"net": net, "head": head})
    return Phase("p", 1, module, groups, loss, dict, "val", optimization=how)


def batches(count: int) -> list[Batch]:
    draw = torch.Generator().manual_seed(3)
    made = []
    for _ in range(count):
        pixels = torch.rand(6, 1, 4, 4, generator=draw).to(memory_format=torch.channels_last)
        made.append(Batch(pixels, torch.randint(3, (6,), generator=draw), torch.arange(6)))
    return made


def trained(steps_by: Callable[[Phase], Steps], how: Optimization) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the averaged weights after six steps, and the summed losses of the last three."""
    steps = steps_by(phase(network(), how))
    torch.manual_seed(5)
    for three in (slice(0, 3), slice(3, 6)):
        steps.begin(SETTINGS[three])
        for batch, setting in zip(batches(6)[three], SETTINGS[three], strict=True):
            steps.take(batch, setting)
    return steps.average.tensors, steps.sums


HOWS = [Optimization(precision="float32"), Optimization("sgd", grad_clip=0.1, precision="float32")]


@pytest.mark.parametrize("how", HOWS, ids=lambda how: how.optimizer)
def test_steps_replayed_operator_by_operator_are_plain_steps_to_rounding(how: Optimization) -> None:
    weights, sums = trained(lambda one: Steps(one, CPU), how)
    again, summed = trained(lambda one: BufferedSteps(one, CPU, _recorded_and_undone), how)
    for name, tensor in weights.items():
        assert torch.allclose(tensor, again[name], rtol=1e-5, atol=1e-6), name
    assert {name: float(value) for name, value in sums.items()} == pytest.approx(
        {name: float(value) for name, value in summed.items()}, rel=1e-5
    )


@pytest.mark.parametrize("how", HOWS, ids=lambda how: how.optimizer)
def test_warming_up_leaves_no_trace(how: Optimization, monkeypatch: pytest.MonkeyPatch) -> None:
    warmed, sums = trained(lambda one: BufferedSteps(one, CPU, lambda step: step), how)
    monkeypatch.setenv("SIMBENCH_CAPTURE", "off")
    cold, summed = trained(lambda one: BufferedSteps(one, CPU, _never), how)
    assert all(torch.equal(tensor, cold[name]) for name, tensor in warmed.items())
    assert all(torch.equal(value, summed[name]) for name, value in sums.items())


def test_a_loss_that_asks_the_device_is_taken_step_by_step_with_the_reason() -> None:
    one = phase(network(), HOWS[0])
    inner = one.loss

    def asking(batch: Batch, share: float | Tensor) -> Mapping[str, Tensor]:
        found = inner(batch, share)
        return {"loss": found["loss"] * (2.0 if float(found["loss"].detach()) > 1e9 else 1.0)}

    steps = BufferedSteps(replace(one, loss=asking), CPU, _never)
    steps.begin(SETTINGS)
    for batch, setting in zip(batches(6), SETTINGS, strict=True):
        steps.take(batch, setting)
    assert "a number is read" in steps.eager_because
    assert float(steps.sums["loss"]) > 0


def test_a_loss_that_counts_its_calls_is_taken_step_by_step_for_a_graph_would_repeat_one() -> None:
    one, calls = phase(network(), HOWS[0]), itertools.count(1)
    inner = one.loss

    def counting(batch: Batch, share: float | Tensor) -> Mapping[str, Tensor]:
        return {"loss": inner(batch, share)["loss"] * next(calls)}

    steps = BufferedSteps(replace(one, loss=counting), CPU, _never)
    steps.begin(SETTINGS[:1])
    steps.take(batches(1)[0], SETTINGS[0])
    assert "differs from call to call" in steps.eager_because


def test_a_recorder_that_fails_is_told_and_the_training_goes_on() -> None:
    def fails(step: Callable[[], object]) -> Callable[[], object]:
        raise RuntimeError("operation not permitted\nand more")

    weights, _ = trained(lambda one: BufferedSteps(one, CPU, fails), HOWS[0])
    same, _ = trained(lambda one: BufferedSteps(one, CPU, lambda step: step), HOWS[0])
    assert all(torch.equal(tensor, same[name]) for name, tensor in weights.items())


def test_what_is_decided_on_the_host_gets_a_recording_of_its_own() -> None:
    made: list[int] = []

    def counting(step: Callable[[], object]) -> Callable[[], object]:
        made.append(1)
        return step

    steps = BufferedSteps(replace(phase(network(), HOWS[0]), prepare=lambda share: share < 0.25), CPU, counting)
    steps.begin(SETTINGS)
    for batch, setting in zip(batches(6), SETTINGS, strict=True):
        steps.take(batch, setting)
    assert len(made) == 2


def test_the_switch_is_off_or_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMBENCH_CAPTURE", "on")
    with pytest.raises(UsageError, match="SIMBENCH_CAPTURE may be off, got 'on'"):
        steps_of(phase(network(), HOWS[0]), CPU)


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (lambda x: x.max().item(), "a number is read"),
        (lambda x: x[x > 0], "a boolean index"),
        (lambda x: x.nonzero(), "places are listed"),
        (lambda x: x.unique(), "unique"),
        (lambda x: torch.equal(x, x), "compared"),
        (lambda x: torch.where(x > 0, x, 0.0).sum() + x[torch.tensor([0, 1])].mean(), ""),
    ],
)
def test_what_no_graph_holds_is_named(act: Callable[[Tensor], object], reason: str) -> None:
    found = what_no_graph_holds(lambda: act(torch.tensor([1.0, -2.0, 3.0])))
    assert (reason in found) if reason else found == ""


def siamese(vectors: Tensor, labels: Tensor) -> Tensor:
    return losses.contrastive_loss(vectors, losses.all_pairs(labels), 1.0)


def balanced(vectors: Tensor, labels: Tensor) -> Tensor:
    return losses.contrastive_loss(vectors, losses.balanced_pairs(labels), 1.0)


def siamese_bce() -> Callable[[Tensor, Tensor], Tensor]:
    head = losses.CosineProjection()
    return lambda vectors, labels: head.loss(vectors, losses.all_pairs(labels))


def triplet(mining: losses.Mining) -> Callable[[], Callable[[Tensor, Tensor], Tensor]]:
    return lambda: partial(losses.triplet_loss, margin=0.2, mining=mining)


LOSSES: dict[str, Callable[[], Callable[[Tensor, Tensor], Tensor]]] = {
    "arcface": lambda: partial(losses.ArcFaceHead(8, 3, 8.0), margin=torch.full((), 0.3)),
    "softmax": lambda: partial(losses.SoftmaxHead(8, 3), smoothing=0.1),
    "proxy_anchor": lambda: losses.ProxyAnchorHead(8, 3),
    "supcon": lambda: partial(losses.supcon_loss, temperature=0.1),
    "multi_similarity": lambda: losses.multi_similarity_loss,
    "siamese": lambda: siamese,
    "siamese, balanced": lambda: balanced,
    "siamese_bce": siamese_bce,
    **{f"triplet, {mining}": triplet(mining) for mining in get_args(losses.Mining)},
}


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_can_be_captured_where_its_vectors_are_a_cards(name: str) -> None:
    """Shapes and devices of CUDA without a card; the gradient is part of the test below."""
    with FakeTensorMode(), torch.device("cuda"):
        vectors, labels = torch.randn(12, 8), torch.zeros(12, dtype=torch.int64)
        loss = LOSSES[name]()
        assert what_no_graph_holds(lambda: loss(vectors, labels)) == ""


METHODS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in ("arcface", "siamese", "siamese_bce", "supcon", "softmax", "proxy_anchor")),
    ("triplet", {"classify": 0.5}),
    ("autoencoder", {"variational": True}),
]


@pytest.mark.parametrize(("name", "options"), METHODS)
def test_every_phase_of_every_trained_method_can_be_captured(
    tmp_path: Path, name: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.training.decoder._AT_ONCE", ("cpu",))
    for one, batch in every_phase(tmp_path, name, options):
        steps = BufferedSteps(one, CPU, lambda step: step)
        steps.begin([Setting(0.1, 0.5, (1e-3,) * len(one.groups))] * 2)
        for setting in [Setting(0.1, 0.5, ())] * 2:
            steps.take(batch, setting)
        assert steps.eager_because == "", one.name


def every_phase(folder: Path, name: str, options: dict[str, Any]) -> Any:
    labels = np.arange(40, dtype=np.int64) % 4
    pixels = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), dtype=np.uint8)
    split = Split(Images(pixels), labels, np.arange(40).astype(np.str_))
    method = build(
        get_method(name), {"encoder": "simplecnn", "embedding_dim": 8, "batch_size": 8, **options}, owner=name
    )
    assert isinstance(method, TrainedMethod)
    run = RunContext(
        0, CPU, tuple("abcd"), False, Budget(), FolderCheckpoints(folder), MemoryHistory(), _bar, lambda line: None
    )
    method.build(split.images.shape, 4, device=CPU, weights="none", decoding=False)
    for stage in method.stages(Job(split, split, run)):
        one = stage.make(1.0)
        yield one, next(stage.batches.epoch(0))


def _bar(items: Any, *, total: int, what: str) -> Any:
    return items


def _never(step: Callable[[], object]) -> Callable[[], object]:
    raise AssertionError("this is not to be recorded")


def _recorded_and_undone(step: Callable[[], object]) -> Callable[[], object]:
    """Record a step, which on a CPU runs it, and let the first replay be that run."""
    replay = recorded(step)
    turns = itertools.count()
    return lambda: replay() if next(turns) else None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA card")
def test_captured_steps_equal_eager_ones_on_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    card, found = torch.device("cuda"), []
    for recorder in (partial(captured, card), lambda step: step):
        one = phase(network().to(card), HOWS[0])
        one.module.to(card)
        steps = BufferedSteps(one, card, recorder)
        torch.manual_seed(5)
        steps.begin(SETTINGS)
        for batch, setting in zip(batches(6), SETTINGS, strict=True):
            moved = Batch(batch.inputs.to(card), batch.labels.to(card), batch.rows.to(card))
            steps.take(moved, setting)
        assert steps.eager_because == ""
        found.append(steps.average.tensors)
    assert all(torch.equal(tensor, found[1][name]) for name, tensor in found[0].items())
