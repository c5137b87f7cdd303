"""The conformance suite catches what it is for: one planted fault a promise, each found, and nothing else found."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from bench.conformance import check_class
from bench.conformance.devices import follows_the_device
from bench.conformance.trial import GREY, try_out


@dataclass
class Sound:
    """A small method with every ability that keeps every promise; each fault below breaks one."""

    power: float = 1.0

    def fit(self, train: Any, validation: Any, run: Any) -> None:
        self.seen = torch.from_numpy(np.array(train.images.take(slice(0, 1)))).float().div(255).permute(0, 3, 1, 2)
        generator = torch.Generator().manual_seed(run.seed)
        self.weight = torch.randn(self.seen[0].numel(), 16, generator=generator).to(run.device)
        self.seen = self.seen.to(run.device)

    def embed(self, pixels: Tensor) -> Tensor:
        return pixels.pow(self.power).flatten(1) @ self.weight + 1e-3

    @property
    def can_decode(self) -> bool:
        return True

    def decode(self, vectors: Tensor) -> Tensor:
        return torch.sigmoid(vectors @ self.weight.T).view(-1, *self.seen.shape[1:])

    def pair_score(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        cosine = (F.normalize(self.embed(left)) * F.normalize(self.embed(right))).sum(dim=1)
        return cosine, torch.sigmoid(5 * cosine)

    def count_parameters(self) -> int:
        return self.weight.numel()

    def state(self) -> dict[str, Tensor]:
        return {"weight": self.weight, "seen": self.seen}

    def restore(self, state: dict[str, Tensor], shape: Any, device: torch.device) -> None:
        self.weight, self.seen = state["weight"].to(device), state["seen"].to(device)


def broken(cls: Any) -> list[str]:
    return [f"{finding.promise}: {finding.detail}" for finding in check_class(cls) if not finding.good]


def test_a_method_that_keeps_every_promise_has_every_promise_checked_and_passes() -> None:
    findings = list(check_class(Sound))
    assert [finding for finding in findings if not finding.good] == []
    assert len(findings) == 25


class Uneven(Sound):
    def embed(self, pixels: Tensor) -> Tensor:
        return super().embed(pixels - pixels.mean(dim=(2, 3), keepdim=True)) - 1e-3


class Dtype(Sound):
    def fit(self, train: Any, validation: Any, run: Any) -> None:
        super().fit(train, validation, run)
        torch.set_default_dtype(torch.float64)


class Gradients(Sound):
    def fit(self, train: Any, validation: Any, run: Any) -> None:
        super().fit(train, validation, run)
        torch.set_grad_enabled(False)


class Threads(Sound):
    def fit(self, train: Any, validation: Any, run: Any) -> None:
        super().fit(train, validation, run)
        torch.set_num_threads(torch.get_num_threads() + 1)


class Overwrites(Sound):
    def fit(self, train: Any, validation: Any, run: Any) -> None:
        super().fit(train, validation, run)
        train.images.pixels[0] = 0


class Unseeded(Sound):
    def fit(self, train: Any, validation: Any, run: Any) -> None:
        super().fit(train, validation, run)
        self.weight = torch.randn_like(self.weight)


class LooksAtLabels(Sound):
    uses_labels = False

    def fit(self, train: Any, validation: Any, run: Any) -> None:
        super().fit(train, validation, run)
        self.weight = self.weight.roll(int(train.labels[1]), dims=0)


class OneIsSpecial(Sound):
    def embed(self, pixels: Tensor) -> Tensor:
        vectors = super().embed(pixels)
        return vectors.roll(1, dims=1) if len(pixels) == 1 else vectors


class BatchMean(Sound):
    def embed(self, pixels: Tensor) -> Tensor:
        vectors = super().embed(pixels)
        return vectors - 0.5 * vectors.mean(dim=0)


class Positional(Sound):
    def embed(self, pixels: Tensor) -> Tensor:
        vectors = super().embed(pixels)
        place = torch.arange(len(pixels), device=pixels.device) > 8
        return torch.where(place[:, None], vectors.roll(1, dims=1), vectors)


class InPlace(Sound):
    def embed(self, pixels: Tensor) -> Tensor:
        return super().embed(pixels.mul_(0.5))


class Recording(Sound):
    def embed(self, pixels: Tensor) -> Tensor:
        with torch.inference_mode(mode=False), torch.enable_grad():
            return super().embed(pixels.clone()) * torch.ones(16, device=pixels.device, requires_grad=True)


class Tracing(Sound):
    def embed(self, pixels: Tensor) -> Tensor:
        return super().embed(pixels if torch.is_inference_mode_enabled() else pixels.requires_grad_())


class InferenceOnly(Sound):
    def embed(self, pixels: Tensor) -> Tensor:
        return super().embed(pixels if torch.is_inference_mode_enabled() else pixels.flip(3))


class SetsInEmbed(Sound):
    def embed(self, pixels: Tensor) -> Tensor:
        torch.use_deterministic_algorithms(mode=True)
        return super().embed(pixels)


class StaysBehind(Sound):
    def restore(self, state: dict[str, Tensor], shape: Any, device: torch.device) -> None:
        self.weight, self.seen = state["weight"], state["seen"]


class MadeOnTheCpu(Sound):
    def embed(self, pixels: Tensor) -> Tensor:
        return super().embed(pixels) * torch.ones(16)


class DecodesOnTheCpu(Sound):
    def decode(self, vectors: Tensor) -> Tensor:
        return super().decode(vectors * torch.ones(16))


class OneSeed(Sound):
    def fit(self, train: Any, validation: Any, run: Any) -> None:
        if run.seed:
            raise ValueError("seed 0 only")
        super().fit(train, validation, run)


class GreyOnly(Sound):
    def embed(self, pixels: Tensor) -> Tensor:
        return super().embed(pixels.view(-1, 1, *pixels.shape[2:]))


class NotTiny(Sound):
    def embed(self, pixels: Tensor) -> Tensor:
        return super().embed(pixels) + F.avg_pool2d(pixels, 9).mean()


class NotLarge(Sound):
    def fit(self, train: Any, validation: Any, run: Any) -> None:
        if train.images.shape.height > 64:
            raise MemoryError("too large")
        super().fit(train, validation, run)


class TwoClasses(Sound):
    def fit(self, train: Any, validation: Any, run: Any) -> None:
        if len(set(train.labels)) < 2:
            raise ValueError("needs two classes")
        super().fit(train, validation, run)


class Validates(Sound):
    def fit(self, train: Any, validation: Any, run: Any) -> None:
        if not len(validation) and len(train) == 2 and train.images.shape == GREY:
            raise ValueError("needs a validation split")
        super().fit(train, validation, run)


class Forgets(Sound):
    def restore(self, state: dict[str, Tensor], shape: Any, device: torch.device) -> None:
        super().restore(state, shape, device)
        self.weight = self.weight.roll(1, dims=0)


class CountsAnew(Sound):
    def restore(self, state: dict[str, Tensor], shape: Any, device: torch.device) -> None:
        super().restore(state, shape, device)
        self.loaded = True

    def count_parameters(self) -> int:
        return 1 if hasattr(self, "loaded") else 2


class LosesItsDecoder(CountsAnew):
    def count_parameters(self) -> int:
        return 1

    @property
    def can_decode(self) -> bool:
        return not hasattr(self, "loaded")


class DecodesAnew(LosesItsDecoder):
    @property
    def can_decode(self) -> bool:
        return True

    def decode(self, vectors: Tensor) -> Tensor:
        return super().decode(-vectors if hasattr(self, "loaded") else vectors)


class Uncounted(Sound):
    def count_parameters(self) -> int:
        return 0.5  # type: ignore[return-value]  # the fault


class OutOfRange(Sound):
    def decode(self, vectors: Tensor) -> Tensor:
        return super().decode(vectors) * 2


class Cropped(Sound):
    def decode(self, vectors: Tensor) -> Tensor:
        return super().decode(vectors)[:, :, 1:]


class OneDecodedIsSpecial(Sound):
    def decode(self, vectors: Tensor) -> Tensor:
        return super().decode(vectors.roll(1, dims=1) if len(vectors) == 1 else vectors)


class DecodesSquares(Sound):
    def decode(self, vectors: Tensor) -> Tensor:
        images = super().decode(vectors)
        return images[..., : min(images.shape[2:]), : min(images.shape[2:])]


class OneSided(Sound):
    def pair_score(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        cosine, probability = super().pair_score(left, right)
        return cosine, probability * left.mean(dim=(1, 2, 3))


class Unsure(Sound):
    def pair_score(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        cosine, probability = super().pair_score(left, right)
        return cosine, 4 * probability


class NotItself(Sound):
    def pair_score(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        cosine, probability = super().pair_score(left, right)
        return 0.9 * cosine, probability


class AllPairs(Sound):
    def pair_score(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        cosine, probability = super().pair_score(left, right)
        return cosine[:, None], probability


class NoNumbers(Sound):
    def embed(self, pixels: Tensor) -> Tensor:
        return super().embed(pixels) * torch.nan


@dataclass
class LosesAnOption(Sound):
    size: int = 1.5  # type: ignore[assignment]  # the fault: run.json has 1.5, which is no whole number


FAULTS: list[tuple[type[Sound], str, str]] = [
    (LosesAnOption, "come back from run.json", "expected a whole number"),
    (NoNumbers, "fits and embeds", "Method"),
    (Uneven, "black, grey and white", "zero"),
    (Dtype, "leaves torch's settings", "default dtype"),
    (Gradients, "leaves torch's settings", "gradients"),
    (LooksAtLabels, "uses none", "unit vectors differ"),
    (Threads, "leaves torch's settings", "threads"),
    (Overwrites, "leaves torch's settings", "training images"),
    (Unseeded, "same seed", "differ by"),
    (OneIsSpecial, "alone and in a batch", "differ by"),
    (BatchMean, "whatever else", "differ by"),
    (Positional, "in any order", "differ by"),
    (InPlace, "does not change the pixels", "changed the pixels"),
    (Recording, "fits and embeds", "requires grad"),
    (Tracing, "inference mode", "pixels record a gradient"),
    (InferenceOnly, "inference mode", "differ by"),
    (SetsInEmbed, "inference mode", "deterministic"),
    (StaysBehind, "another device", "meet in"),
    (MadeOnTheCpu, "another device", "meet in mul"),
    (DecodesOnTheCpu, "another device", "meet in mul"),
    (OneSeed, "another seed", "seed 0 only"),
    (GreyOnly, "not square", ""),
    (NotTiny, "8x8", ""),
    (NotLarge, "photographs", "too large"),
    (TwoClasses, "single class", "needs two classes"),
    (Validates, "no validation split", "needs a validation split"),
    (Forgets, "after saving and loading", "unit vectors differ"),
    (CountsAnew, "after saving and loading", "2 parameters and has 1"),
    (LosesItsDecoder, "after saving and loading", "could decode and cannot"),
    (DecodesAnew, "after saving and loading", "decoded images differ"),
    (Uncounted, "counts its parameters", "0.5"),
    (OutOfRange, "in [0, 1]", "must return pixels in [0, 1]"),
    (Cropped, "the data's own shape", "came back as"),
    (OneDecodedIsSpecial, "one as in a batch", "alone and in a batch differ"),
    (DecodesSquares, "decodes colour images", "came back as"),
    (OneSided, "scores pairs", "turned round differ"),
    (Unsure, "scores pairs", "probability must be in [0, 1]"),
    (NotItself, "scores pairs", "cosines to itself"),
    (AllPairs, "scores pairs", "of shape (8,)"),
]


@pytest.mark.parametrize(("cls", "promise", "detail"), FAULTS, ids=[cls.__name__ for cls, _, _ in FAULTS])
def test_a_planted_fault_is_found_under_the_promise_it_breaks(cls: type[Sound], promise: str, detail: str) -> None:
    found = broken(cls)
    assert any(promise in line and detail in line for line in found), found


@pytest.mark.parametrize("cls", [Dtype, Threads, Overwrites, InPlace, StaysBehind, OneSided, CountsAnew])
def test_a_fault_is_found_once_and_does_not_spoil_the_other_findings(cls: type[Sound]) -> None:
    assert len(broken(cls)) == 1


def test_what_a_method_changed_of_torch_is_put_back() -> None:
    before = (torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads())
    for cls in (Dtype, Gradients, Threads):
        broken(cls)
    assert before == (torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads())


def test_a_file_without_a_docstring_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent(Sound):
        pass

    monkeypatch.setitem(sys.modules, "silent", ModuleType("silent"))
    Silent.__module__ = "silent"
    assert any("no docstring" in line for line in broken(Silent))


class Bare:
    """Only what every method must have; what it keeps cannot be moved, but what it makes can be seen."""

    def fit(self, train: Any, validation: Any, run: Any) -> None: ...

    def embed(self, pixels: Tensor) -> Tensor:
        return pixels.flatten(1) + 0.1


class BareAndMade(Bare):
    def embed(self, pixels: Tensor) -> Tensor:
        flat = pixels.flatten(1)
        return flat * torch.linspace(1, 2, flat.shape[1])


class BareAndMadeBeside(Bare):
    def embed(self, pixels: Tensor) -> Tensor:
        flat = pixels.flatten(1)
        return flat * torch.linspace(1, 2, flat.shape[1], device=flat.device)


@pytest.mark.parametrize(("cls", "kept"), [(Bare, True), (BareAndMade, False), (BareAndMadeBeside, True)])
def test_a_method_that_saves_nothing_must_make_its_tensors_beside_the_pixels(cls: Any, kept: bool) -> None:
    one = try_out(dataclass(cls), GREY)
    if kept:
        follows_the_device(one)
    else:
        with pytest.raises(Exception, match="meet in"):
            follows_the_device(one)


class Peeks(Sound):
    def embed(self, pixels: Tensor) -> Tensor:
        return super().embed(pixels) if float(pixels.max()) > 0 else super().embed(pixels + 0.1)


class FollowsItsOwnNumber(Sound):
    def embed(self, pixels: Tensor) -> Tensor:
        return super().embed(pixels) * torch.tensor(2.0)


@pytest.mark.parametrize("cls", [Peeks, FollowsItsOwnNumber])
def test_looking_at_a_number_or_multiplying_by_one_is_no_fault_of_devices(cls: type[Sound]) -> None:
    follows_the_device(try_out(cls, GREY))


def test_with_an_accelerator_the_method_is_fitted_and_embeds_there(monkeypatch: pytest.MonkeyPatch) -> None:
    here = torch.device("cpu")  # stands for the accelerator that this test may not have
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: here)
    follows_the_device(try_out(Sound, GREY))
    with pytest.raises(Exception, match="cosine as low as"):
        follows_the_device(try_out(Forgets, GREY))
