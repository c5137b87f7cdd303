"""Features of a backbone that never moves: every image, and some augmented views of it, computed once and kept.

What is behind the backbone is then trained on them as it would be behind it, in seconds instead of minutes; or, by
`FeatureMethod`, worked out from them in closed form.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.contract import ImageShape, RunContext, Split
from bench.options import file_option
from bench.principal_components import PrincipalComponents
from bench.training.augment import UNCHANGED, Augmentation
from bench.training.batches import Features, to_unit_float
from bench.training.embedder import EmbeddingNetwork
from bench.training.encoders.encoder import WEIGHT_WORDS
from bench.training.encoders.timm import Backbone, check_backbone
from bench.training.precision import Precision, mixed_precision

if TYPE_CHECKING:
    from bench.contract import Labels

PHASE = "0-features"  # of the history: what they cost belongs to the training

AT_ONCE = 16  # images: batches of 128 photographs leave a CPU's cache and take 1.8 times as long an image
_SAVED = 128 * AT_ONCE  # images between checkpoints: about a minute on a CPU
_TRACE = 1e-6  # keeps the mean vector itself from having no direction; a feature of a unit vector is some 1e-2
_LARGEST = 2**30  # bytes of 32-bit numbers, from where on 16 bits of each are kept


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
    """A backbone's features of what a method learns from, and ``head``: the rest of the encoder, which is trained."""

    head: nn.Module
    train: Features
    validation: Features

    def embed_validation(self, device: torch.device, precision: Precision) -> Tensor:
        """Return the validation images' unit vectors, float32 ``(n, dim)`` on the device, by the head as it stands."""
        with mixed_precision(device, precision):
            raw: Tensor = self.head(self.validation.plain().to(device))
        return F.normalize(raw.float(), dim=1)


@dataclass
class Extraction:
    """Features computed by one backbone for one run, and what that took in all: before a kill, too."""

    backbone: nn.Module
    run: RunContext
    precision: Precision = "auto"
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def of(self, split: Split, name: str, views: Sequence[View] = (View(),)) -> Features:
        """Return the features of a split's images in all views; what was computed before a kill is not computed again.

        name: of the split, for the run's checkpoints. Numbers stay in the type that the backbone gives them in; where
        that would take more than 1 GiB, in 16 bits.
        """
        held: Tensor | None = None
        for at, view in enumerate(views):
            for start in range(0, len(split), _SAVED):
                rows = np.arange(start, min(start + _SAVED, len(split)), dtype=np.int64)
                piece = self._piece(f"{PHASE}-{name}-{view.number}-{start}", split, rows, view)
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
        self.run.history.add({"phase": PHASE, "epoch": 0, "step": 0, **spent})

    def _piece(self, key: str, split: Split, rows: Labels, view: View) -> Tensor:
        """Return the features of some images in one view, from the run's checkpoints where they are there."""
        saved = self.run.checkpoints.load(key)
        if saved is None:
            began = time.perf_counter(), time.process_time()
            tensors = {"features": self._compute(split, rows, view)}
            facts = {"seconds": time.perf_counter() - began[0], "cpu_seconds": time.process_time() - began[1]}
            self.run.checkpoints.save(key, tensors, facts)
        else:
            tensors, facts = saved
        self.seconds += facts["seconds"]
        self.cpu_seconds += facts["cpu_seconds"]
        return tensors["features"]

    @torch.no_grad()
    def _compute(self, split: Split, rows: Labels, view: View) -> Tensor:
        self.backbone.eval()
        chunks = np.split(rows, range(AT_ONCE, len(rows), AT_ONCE))
        found = []
        for chunk in self.run.progress(chunks, total=len(chunks), what="features"):
            pixels = to_unit_float(view.of(split, chunk), self.run.device)
            with mixed_precision(self.run.device, self.precision):
                found.append(self.backbone(pixels).cpu())
        return torch.cat(found)


def _room(like: Tensor, views: int, rows: int) -> Tensor:
    """Return memory for the features of all views, in the type of some of them, or in half of it."""
    size = (views, rows, like.shape[1])
    short = like.dtype == torch.float32 and 4 * views * rows * like.shape[1] > _LARGEST
    return torch.empty(size, dtype=torch.float16 if short else like.dtype)


@dataclass
class FeatureMethod:
    """A method whose vector is an affine map of a model's pooled features at unit length; ``fit`` finds ``components``.

    model, weights, size: see ``Backbone``. precision: what the network runs in; "auto" is over twice as fast where
    there is hardware for it, at a cosine of .999 to float32, whose vectors differ between machines by rounding only.
    """

    model: str = "tf_efficientnet_lite0"
    weights: str = file_option("pretrained", words=WEIGHT_WORDS)
    size: int | None = None
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        check_backbone(self.model)
        if self.size is not None and self.size < 1:
            raise ValueError(f"size must be at least 1, got {self.size}")

    def prepare(self, shape: ImageShape, run: RunContext) -> None:
        """Make the backbone, on the run's device."""
        torch.manual_seed(run.seed)  # for weights=none
        self.backbone = Backbone(self.model, shape, weights=self.weights, size=self.size)
        self.backbone.to(run.device).eval()
        height, width = self.backbone.input_size
        run.log(f"{self.model} at {height}x{width} pixels: {self.backbone.features} features an image")

    def embed(self, pixels: Tensor) -> Tensor:
        return torch.cat([self.embed_at_once(part) for part in torch.split(pixels, AT_ONCE)])

    def embed_at_once(self, pixels: Tensor) -> Tensor:
        """Return what ``embed`` does without taking the batch apart."""
        return self.components(self.unit_features(pixels)) + _TRACE

    def unit_features(self, pixels: Tensor) -> Tensor:
        """Return unit vectors float32 ``(n, features)``: before centring, so that every image weighs the same in it."""
        with mixed_precision(pixels.device, self.precision):
            features = self.backbone(pixels)
        return F.normalize(features.float(), dim=1)

    def network(self) -> nn.Module:
        return EmbeddingNetwork(self.embed_at_once, self.backbone)

    def count_parameters(self) -> int:
        return sum(p.numel() for p in self.backbone.parameters()) + self.components.count_parameters()

    def state(self) -> Mapping[str, Tensor]:
        named = {"backbone": self.backbone.state_dict(), "whitening": self.components.state()}
        return {f"{part}.{name}": tensor for part, tensors in named.items() for name, tensor in tensors.items()}

    def restore(self, state: Mapping[str, Tensor], shape: ImageShape, device: torch.device) -> None:
        self.backbone = Backbone(self.model, shape, weights="none", size=self.size)
        self.backbone.load_state_dict(_part(state, "backbone."))
        self.backbone.to(device).eval()
        self.components = PrincipalComponents.restored(_part(state, "whitening.")).to(device)


def _part(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
