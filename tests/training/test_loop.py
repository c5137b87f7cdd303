"""The training loop: it learns, stops when told, and a killed one ends like one that was not."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.contract import Budget, Images, MethodError, RunContext, Split, UsageError
from bench.runs.fitting import MemoryHistory
from bench.training.batches import Batch, Batches
from bench.training.checkpoints import FolderCheckpoints
from bench.training.loop import run_phase, seconds_per_epoch
from bench.training.phase import Group, Optimization, Phase, plateau_factor, rate_factor
from bench.training.phases import plan_epochs
from bench.training.precision import number_type

T = TypeVar("T")
CPU = torch.device("cpu")


class Killed(Exception):
    pass


@pytest.fixture(autouse=True)
def _short_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    """An epoch of these few images has 50 steps here, not 200."""
    monkeypatch.setattr("bench.training.batches._SHORTEST_EPOCH", 50)


def context(folder: Path, budget: Budget | None = None) -> RunContext:
    def bar(items: Iterable[T], *, total: int, what: str) -> Iterable[T]:
        return items

    return RunContext(
        seed=0,
        device=CPU,
        classes=("a", "b"),
        mirror=False,
        budget=budget or Budget(),
        checkpoints=FolderCheckpoints(folder),
        history=MemoryHistory(),
        progress=bar,
        log=lambda line: None,
    )


def batches() -> Batches:
    rng = np.random.default_rng(0)
    labels = np.arange(64, dtype=np.int64) % 2
    pixels = (labels[:, None, None, None] * 90 + rng.integers(0, 120, (64, 4, 4, 1))).astype(np.uint8)
    return Batches(Split(Images(pixels), labels, np.arange(64).astype(np.str_)), 16, CPU, seed=7)


def phase(*, epochs: float = 4, kill_at: int | None = None, scores: list[float] | None = None) -> Phase:
    torch.manual_seed(1)
    # Batch norm and dropout: buffers and random numbers must survive a kill as well.
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.Conv2d(4, 2, 3, padding=1),  # channels last: files know no strides
        nn.Flatten(),
        nn.Linear(32, 8),
        nn.BatchNorm1d(8),
        nn.Dropout(0.2),
        nn.Linear(8, 2),
    ).to(memory_format=torch.channels_last)
    steps = 0

    def loss(batch: Batch, share: float | Tensor) -> Mapping[str, Tensor]:
        nonlocal steps
        steps += 1
        if steps == kill_at:
            raise Killed
        return {"loss": F.cross_entropy(net(batch.pixels).float(), batch.labels)}

    given = iter(scores or [])
    return Phase(
        name="p",
        epochs=epochs,
        module=net,
        groups=[Group(list(net.parameters()), 0.05)],
        loss=loss,
        validate=lambda: {"val": next(given)} if scores else {},
        monitor="val",
        goal_of="val",
    )


def weights(one: Phase) -> dict[str, Tensor]:
    return dict(one.module.state_dict())


@pytest.mark.parametrize("kill_at", [1, 30, 51, 149, 150])
def test_a_killed_phase_ends_with_the_same_weights_and_history_as_an_unbroken_one(tmp_path: Path, kill_at: int) -> None:
    whole, run = phase(epochs=3), context(tmp_path / "whole")
    run_phase(whole, batches(), run)
    with pytest.raises(Killed):
        run_phase(phase(epochs=3, kill_at=kill_at), batches(), context(tmp_path / "broken"))
    rest, again = phase(epochs=3), context(tmp_path / "broken")
    run_phase(rest, batches(), again)
    for name, tensor in weights(whole).items():
        if tensor.dtype.is_floating_point:
            assert torch.equal(tensor, weights(rest)[name]), name
    without_time = [{k: v for k, v in row.items() if k not in ("seconds", "cpu_seconds")} for row in run.history.rows()]
    assert without_time == [
        {k: v for k, v in row.items() if k not in ("seconds", "cpu_seconds")} for row in again.history.rows()
    ]


def test_a_finished_phase_is_not_trained_again(tmp_path: Path) -> None:
    first = phase(epochs=1)
    run_phase(first, batches(), context(tmp_path))
    second = phase(epochs=1, kill_at=1)
    run_phase(second, batches(), context(tmp_path))
    assert torch.equal(weights(first)["3.weight"], weights(second)["3.weight"])


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    run = context(tmp_path)
    run_phase(phase(epochs=4), batches(), run)
    losses = [float(row["train_loss"]) for row in run.history.rows()]
    assert losses[-1] < 0.7 * losses[0]


def test_the_epoch_with_the_best_validation_number_is_kept(tmp_path: Path) -> None:
    best, last = phase(epochs=2, scores=[0.9, 0.5]), phase(epochs=2, scores=[0.5, 0.9])
    run_phase(best, batches(), context(tmp_path / "a"))
    run_phase(last, batches(), context(tmp_path / "b"))
    assert not torch.equal(weights(best)["3.weight"], weights(last)["3.weight"])


@pytest.mark.parametrize(
    ("scores", "changes", "epochs"),
    [
        ([0.1, 0.95, 0.97], {"goal": 0.9}, 2),
        ([0.5, 0.4, 0.3, 0.9], {"patience": 2}, 3),
        ([0.1] * 4, {"patience": 9}, 4),
    ],
)
def test_a_phase_stops_at_its_goal_or_when_its_patience_is_over(
    tmp_path: Path, scores: list[float], changes: dict[str, Any], epochs: int
) -> None:
    run = context(tmp_path)
    run_phase(replace(phase(epochs=4, scores=scores), **changes), batches(), run)
    assert len(run.history.rows()) == epochs


def test_a_validation_number_that_is_not_one_does_not_stop_the_choice_of_an_epoch(tmp_path: Path) -> None:
    run_phase(phase(epochs=2, scores=[math.nan, math.nan]), batches(), context(tmp_path))


def test_a_loss_that_is_not_a_number_twice_is_refused(tmp_path: Path) -> None:
    broken, run = phase(), context(tmp_path)
    with torch.no_grad():
        next(broken.module.parameters()).fill_(math.nan)
    with pytest.raises(MethodError, match=r"the loss is nan in phase p, step 50, again after a restart at 0\.3"):
        run_phase(broken, batches(), run)


def derailing(one: Phase, after: int) -> Phase:
    """Return a phase whose loss is not a number at one step, the first time it gets there."""
    inner, steps = one.loss, iter(range(10**6))

    def loss(batch: Batch, share: float | Tensor) -> Mapping[str, Tensor]:
        good = inner(batch, share)["loss"]
        return {"loss": good * math.nan if next(steps) == after else good}

    return replace(one, loss=loss)


def test_a_phase_that_goes_wrong_once_starts_again_at_a_lower_rate_and_says_so(tmp_path: Path) -> None:
    run = context(tmp_path / "derailed")
    derailed = derailing(phase(epochs=2), after=58)
    run_phase(derailed, batches(), run)
    slow, slowly = phase(epochs=2), context(tmp_path / "slow")
    run_phase(replace(slow, groups=[Group(list(slow.module.parameters()), 0.05 * 0.3)]), batches(), slowly)
    assert all(
        torch.equal(tensor, weights(slow)[name])
        for name, tensor in weights(derailed).items()
        if tensor.dtype.is_floating_point
    )
    assert [row["epoch"] for row in run.history.rows()] == [1, 0, 1, 2]
    (event,) = MemoryHistory.events(run.history)  # type: ignore[arg-type]  # what context() made
    assert event.startswith("phase p restarted at 0.3 of its learning rate: training diverged: the loss is nan")


@pytest.mark.parametrize("kill_at", [3, 55])
def test_a_restarted_phase_that_is_killed_goes_on_at_the_lower_rate(tmp_path: Path, kill_at: int) -> None:
    run, whole = context(tmp_path / "whole"), derailing(phase(epochs=2), after=20)
    run_phase(whole, batches(), run)
    broken = derailing(phase(epochs=2, kill_at=50 + kill_at), after=20)
    with pytest.raises(Killed):
        run_phase(broken, batches(), context(tmp_path / "broken"))
    rest, again = phase(epochs=2), context(tmp_path / "broken")
    run_phase(rest, batches(), again)
    assert torch.equal(weights(whole)["3.weight"], weights(rest)["3.weight"])
    assert len(again.history.rows()) == len(run.history.rows())


def test_vectors_that_all_become_one_start_the_phase_again_but_only_once(tmp_path: Path) -> None:
    run, cosines = context(tmp_path), iter([0.2, 0.9995, 0.9999, 0.5])
    one = replace(phase(epochs=2), validate=lambda: {"val_mean_cosine": next(cosines)})
    run_phase(one, batches(), run)
    assert [row["epoch"] for row in run.history.rows()] == [1, 0, 1, 2]
    assert "all vectors became one (mean cosine 0.9995)" in str(run.history.rows()[1]["event"])


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("schedule", ["one_cycle", "cosine", "plateau"])
def test_every_optimiser_and_schedule_learns_and_resumes_to_the_same_weights(
    tmp_path: Path, optimizer: Any, schedule: Any
) -> None:
    optimization = Optimization(
        optimizer=optimizer, schedule=schedule, ema_decay=0.0 if schedule == "plateau" else 0.99
    )
    run, whole = context(tmp_path / "whole"), replace(phase(epochs=3), optimization=optimization)
    run_phase(whole, batches(), run)
    assert float(run.history.rows()[-1]["train_loss"]) < float(run.history.rows()[0]["train_loss"])
    with pytest.raises(Killed):
        run_phase(
            replace(phase(epochs=3, kill_at=115), optimization=optimization), batches(), context(tmp_path / "broken")
        )
    rest = replace(phase(epochs=3), optimization=optimization)
    run_phase(rest, batches(), context(tmp_path / "broken"))
    assert torch.equal(weights(whole)["3.weight"], weights(rest)["3.weight"])


def test_a_group_stands_still_for_its_share_of_the_phase(tmp_path: Path) -> None:
    one = phase(epochs=1)
    parameters = dict(one.module.named_parameters())
    held = parameters.pop("3.weight")
    before = held.detach().clone()
    groups = [Group(list(parameters.values()), 0.05), Group([held], 0.05, still=1.0)]
    run_phase(replace(one, groups=groups), batches(), context(tmp_path))
    assert torch.equal(held.detach(), before)
    assert not torch.equal(parameters["6.weight"].detach(), weights(phase())["6.weight"])


@pytest.mark.parametrize(
    ("device", "precision", "wanted"), [("cpu", "float32", None), ("cpu", "bfloat16", torch.bfloat16)]
)
def test_a_number_format_can_be_asked_for(device: str, precision: Any, wanted: torch.dtype | None) -> None:
    assert number_type(precision, torch.device(device)) == wanted


def test_float16_off_a_gpu_is_refused() -> None:
    with pytest.raises(UsageError, match="float16 needs a CUDA device, not cpu"):
        number_type("float16", CPU)


def test_plateau_schedule_halves_the_rate_after_three_epochs() -> None:
    assert [plateau_factor(n) for n in range(8)] == [1.0, 1.0, 1.0, 0.5, 1.0, 1.0, 0.5, 1.0]


def test_measuring_leaves_the_module_as_it_was(tmp_path: Path) -> None:
    one = phase()
    before = {name: tensor.clone() for name, tensor in weights(one).items()}
    assert seconds_per_epoch(one, batches(), context(tmp_path)) > 0
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights(one).items())


def test_measuring_validates_as_training_does_and_takes_nothing_of_the_images_in(tmp_path: Path) -> None:
    one = phase()
    seen: list[bool] = []

    def validate() -> Mapping[str, float]:
        one.module(torch.rand(1, 1, 4, 4))  # one image alone: batch norm refuses it in training
        seen.append(one.module.training)
        return {}

    assert seconds_per_epoch(replace(one, validate=validate), batches(), context(tmp_path)) > 0
    assert seen == [False]


def test_half_an_epoch_is_half_the_steps(tmp_path: Path) -> None:
    run = context(tmp_path)
    run_phase(phase(epochs=1.5), batches(), run)
    assert [row["step"] for row in run.history.rows()] == [50, 75]


def test_epochs_are_shared_in_the_default_proportion_and_a_plan_of_seconds_is_kept(tmp_path: Path) -> None:
    defaults = {"a": 9.0, "b": 3.0}
    assert plan_epochs(defaults, context(tmp_path), dict) == defaults
    assert plan_epochs(defaults, context(tmp_path, Budget(epochs=4)), dict) == {"a": 3.0, "b": 1.0}
    timed = context(tmp_path, Budget(seconds=10))
    plan = plan_epochs(defaults, timed, lambda: {"a": 1.0, "b": 2.0})
    assert plan == pytest.approx({"a": 9 * 9 / 15, "b": 3 * 9 / 15})
    assert plan_epochs(defaults, timed, lambda: {"a": 99.0, "b": 99.0}) == plan


def test_the_learning_rate_moves_as_torchs_one_cycle() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=1001, pct_start=0.25, final_div_factor=1e9)
    ours = []
    for step in range(1001):
        ours.append(abs(optimizer.param_groups[0]["lr"] - rate_factor("one_cycle", step / 1000, 0.25)))
        optimizer.step()
        theirs.step() if step < 1000 else None
    assert max(ours) < 0.01


def test_a_phase_whose_checkpoint_is_damaged_ends_like_an_unbroken_one(tmp_path: Path) -> None:
    whole, run = phase(epochs=2), context(tmp_path / "whole")
    run_phase(whole, batches(), run)
    with pytest.raises(Killed):
        run_phase(phase(epochs=2, kill_at=51), batches(), context(tmp_path / "broken"))
    file = tmp_path / "broken" / "p.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    rest, again = phase(epochs=2), context(tmp_path / "broken")
    run_phase(rest, batches(), again)
    assert all(torch.equal(tensor, weights(rest)[name]) for name, tensor in weights(whole).items())


def test_a_checkpoint_of_another_plan_is_not_gone_on_from(tmp_path: Path) -> None:
    whole = phase(epochs=2)
    run_phase(whole, batches(), context(tmp_path / "whole"))
    with pytest.raises(Killed):
        run_phase(phase(epochs=4, kill_at=51), batches(), context(tmp_path / "broken"))
    rest = phase(epochs=2)
    run_phase(rest, batches(), context(tmp_path / "broken"))
    assert all(torch.equal(tensor, weights(rest)[name]) for name, tensor in weights(whole).items())
