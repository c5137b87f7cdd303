"""Features of a backbone that never moves: every image, and some augmented views of it, computed once and kept.

What is behind the backbone is then trained on them as it would be behind it, in seconds instead of minutes. Other runs
on the same pixels, such as the trials of tuning and other losses' heads, take them from the user's cache folder.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from bench.contract import Checkpoints, RunContext, SimbenchError, Split
from bench.environment import images_at_once
from bench.training.augment import UNCHANGED, Augmentation
from bench.training.batches import Features, to_unit_float
from bench.training.checkpoints import digest_of_tensors
from bench.training.precision import Precision, mixed_precision, number_type

if TYPE_CHECKING:
    from bench.contract import Labels

FEATURES = "0-features"  # of the history: what they cost belongs to the training

AT_ONCE = images_at_once(224, 224, "cpu")  # of one draw of augmentation, on every device
_SAVED = 128 * AT_ONCE  # images between checkpoints: about a minute on a CPU
_VALIDATED = 256  # validation images at once
_LARGE = 2**14  # bytes an image, above which they are maps of a picture and no vectors: too much to keep for others
_LARGEST = 2**30  # bytes of 32-bit numbers, from where on 16 bits of each are kept


def at_once(device: torch.device) -> int:
    """Return how many images a backbone is shown at a time, whatever their size: it enlarges what is smaller."""
    return AT_ONCE if device.type == "cpu" else images_at_once(224, 224, device.type)


@dataclass(frozen=True)
class View:
    """One way to see all images of a split: as they are, or, by any number but 0, augmented by draws of its own."""

    number: int = 0
    augmentation: Augmentation = UNCHANGED
    seed: int = 0

    def of(self, split: Split, rows: Labels) -> Tensor:
        """Return some of a split's images, uint8 ``(k, height, width, channels)``; the same for the same rows."""
        pixels = torch.from_numpy(split.images.take(rows))
        if self.number == 0:
            return pixels
        return self.augmentation(pixels, np.random.default_rng([self.seed, self.number, int(rows[0])]))


def views_of(count: int, augmentation: Augmentation, seed: int) -> list[View]:
    """Return so many views, of which the first is the images as they are; that one alone where nothing is augmented."""
    return [View(number, augmentation, seed) for number in range(1 if augmentation.name == "none" else count)]


@dataclass(frozen=True)
class FrozenFeatures:
    """What a frozen part makes of the images to learn from, and ``head``: the rest of the encoder, which is trained."""

    head: nn.Module
    train: Features
    validation: Features

    def embed_validation(self, device: torch.device, precision: Precision) -> Tensor:
        """Return the validation images' unit vectors, float32 ``(n, dim)`` on the device, by the head as it stands."""
        with mixed_precision(device, precision):
            parts = torch.split(self.validation.plain(device), _VALIDATED)
            raw = [self.head(some.to(device)).float() for some in parts]
        return F.normalize(torch.cat(raw), dim=1)


@dataclass(frozen=True)
class _Shared:
    """Where features are kept for all runs, and under which name."""

    store: Checkpoints
    name: str


@dataclass
class Extraction:
    """Features computed by one backbone for one run, and what that took in all: before a kill, too."""

    backbone: nn.Module
    run: RunContext
    precision: Precision = "auto"
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    _quick: nn.Module | None = None
    _backbone_digest: str = ""
    _large: bool = False  # whether features were found to be: then no pixel is read for their digest

    def frozen(self, head: nn.Module, train: Split, validation: Split, views: Sequence[View]) -> FrozenFeatures:
        """Return the features of all that is learnt from, with the head to train; what they took is in the history."""
        found = FrozenFeatures(head, self.of(train, "train", views), self.of(validation, "validation"))
        self.record()
        return found

    def of(self, split: Split, name: str, views: Sequence[View] = (View(),)) -> Features:
        """Return the features of a split's images in all views; what was computed before a kill is not computed again.

        name: of the split, for the run's checkpoints. Numbers stay in the type that the backbone gives them in; where
        that would take more than 1 GiB, in 16 bits.
        """
        held: Tensor | None = None
        for at, view in enumerate(views):
            for start in range(0, len(split), _SAVED):
                rows = np.arange(start, min(start + _SAVED, len(split)), dtype=np.int64)
                piece = self._piece(f"{FEATURES}-{name}-{view.number}-{start}", split, rows, view)
                if held is None:
                    held = _room(piece, len(views), len(split))
                held[at, start : start + len(rows)] = piece
        if held is None:
            return Features(torch.zeros(len(views), 0, 1))
        shape, size = " x ".join(f"{side:,}" for side in held.shape), f"{held.nbytes / 2**20:,.0f} MiB"
        self.run.log(f"features of the {name} images ({shape} numbers, {size}): {self.seconds:.0f} s so far")
        return Features(held)

    def record(self) -> None:
        """Write what it took as a row of the history."""
        spent = {"seconds": round(self.seconds, 3), "cpu_seconds": round(self.cpu_seconds, 3)}
        self.run.history.add({"phase": FEATURES, "epoch": 0, "step": 0, **spent})

    def _piece(self, key: str, split: Split, rows: Labels, view: View) -> Tensor:
        """Return the features of some images in one view: this run's, another run's, or computed now and kept.

        What they took is counted, whoever computed them: a row's cost must not depend on what was run before it.
        """
        shared: _Shared | None = None
        saved = self.run.checkpoints.load(key)
        if saved is None and self.run.shared is not None and not self._large:
            shared = _Shared(self.run.shared, self._digest(split, rows, view))
            saved = self._from_others(shared, split, rows, view)
        if saved is None:
            began = time.perf_counter(), time.process_time()
            found = self._compute(split, rows, view)
            facts = {"seconds": time.perf_counter() - began[0], "cpu_seconds": time.process_time() - began[1]}
            self._keep(key, shared, found, facts)
        else:
            found, facts = saved[0]["features"], saved[1]
        self.seconds += facts["seconds"]
        self.cpu_seconds += facts["cpu_seconds"]
        return found

    def _from_others(
        self, shared: _Shared, split: Split, rows: Labels, view: View
    ) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return what another run has computed, if this backbone gives the same for the first images, to the last bit.

        So no other version of a library, number of threads or device can stand behind a run's scores than its own.
        """
        saved = shared.store.load(shared.name)
        if saved is None:
            return None
        few = at_once(self.run.device)  # as many as were computed together: of fewer, a card rounds otherwise
        sample = self._compute(split, rows[:few], view)
        return saved if torch.equal(sample, saved[0]["features"][:few]) else None

    def _keep(self, key: str, shared: _Shared | None, found: Tensor, facts: dict[str, float]) -> None:
        """Keep features for all runs, where they are no larger than vectors are, else until this run is finished."""
        self._large = found[0].nbytes > _LARGE
        if shared is not None and not self._large:
            try:
                return shared.store.save(shared.name, {"features": found}, facts)
            except SimbenchError as error:  # such as a cache that is full: this run can do without
                self.run.log(f"features are not kept for other runs: {error}")
        return self.run.checkpoints.save(key, {"features": found}, facts)

    def _digest(self, split: Split, rows: Labels, view: View) -> str:
        """Return the digest of the backbone and of the pixels that it is shown: equal for equal features."""
        if not self._backbone_digest:
            facts = {"network": repr(self.backbone), "numbers": str(number_type(self.precision, self.run.device))}
            self._backbone_digest = digest_of_tensors(facts, _on_cpu(self.backbone))
        digest = hashlib.sha256(self._backbone_digest.encode())
        for chunk in _chunks(rows):
            digest.update(view.of(split, chunk).contiguous().numpy().data)
        return digest.hexdigest()[:40]

    @torch.no_grad()
    def _compute(self, split: Split, rows: Labels, view: View) -> Tensor:
        chunks, found = _chunks(rows), []
        together = max(1, at_once(self.run.device) // AT_ONCE)
        steps = [chunks[start : start + together] for start in range(0, len(chunks), together)]
        for some in self.run.progress(steps, total=len(steps), what="features"):
            drawn = [view.of(split, chunk) for chunk in some]  # by the same draws on every device
            pixels = to_unit_float(drawn[0] if len(drawn) == 1 else torch.cat(drawn), self.run.device)
            with mixed_precision(self.run.device, self.precision):
                if self._quick is None:
                    self._quick = quicker(self.backbone.eval(), pixels)
                found.append(self._quick(pixels))
        return torch.cat(found).cpu()  # once: until then a card need not wait for the next views


def _chunks(rows: Labels) -> list[Labels]:
    return np.split(rows, range(AT_ONCE, len(rows), AT_ONCE))


def _on_cpu(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}


def quicker(network: nn.Module, pixels: Tensor) -> nn.Module:
    """Return a network's folded copy where both give the same features of some pixels, else the network itself."""
    copy = folded(network)
    if copy is network:
        return network
    quick, slow = copy(pixels).float(), network(pixels).float()
    return copy if torch.allclose(quick, slow, rtol=1e-2, atol=1e-3 * float(slow.abs().max())) else network


def folded(network: nn.Module) -> nn.Module:
    """Return a copy of a network in eval mode with each batch norm in the convolution before it: 1.7 times as fast.

    The network itself where there is none. Before it is the module defined right before it, which need not be the one
    called before it: compare the results.
    """
    copy, found = deepcopy(network), False
    for module in [*copy.modules()]:
        for (name, convolution), (norm_name, norm) in pairwise([*module.named_children()]):
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, name, fuse_conv_bn_eval(convolution, norm))
                setattr(module, norm_name, getattr(norm, "act", nn.Identity()))  # timm's applies an activation too
                found = True
    return copy if found else network


def _room(like: Tensor, views: int, rows: int) -> Tensor:
    """Return memory for the features of all views, in the type of some of them, or in half of it."""
    size = (views, rows, like.shape[1])
    short = like.dtype == torch.float32 and 4 * views * rows * like.shape[1] > _LARGEST
    return torch.empty(size, dtype=torch.float16 if short else like.dtype)
