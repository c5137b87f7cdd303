"""What all trained methods share: the same options and defaults, so that a table compares nothing but the methods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from bench.contract import ImageShape, RunContext, Size, Split, uses_labels
from bench.options import file_option, plugin_option, tunable
from bench.plugins import ENCODER
from bench.training.augment import Augment, Augmentation
from bench.training.batches import Batch, Batches
from bench.training.embedder import Embedder, EmbeddingNetwork
from bench.training.encoders.encoder import WEIGHT_WORDS, encoder_size, known_encoder
from bench.training.features import Extraction, FrozenFeatures, views_of
from bench.training.phase import Group, Optimization, Optimizer, Phase, Schedule
from bench.training.phases import Stage, run_stages
from bench.training.precision import Precision
from bench.training.validation import mean_cosine, retrieval_map

H = TypeVar("H", bound=nn.Module)


@dataclass(frozen=True)
class Job:
    """What one call of ``fit`` works on; features: of its images, where only what is behind a backbone is trained."""

    train: Split
    validation: Split
    run: RunContext
    features: FrozenFeatures | None = None


@dataclass
class TrainedMethod(Generic[H]):
    """An encoder trained with one objective. A method subclasses this and says what its objective is.

    ``make_head(classes)`` makes what the objective learns beside the encoder (nothing by default); ``loss`` turns a
    batch's raw vectors into named scalars; ``validation_metrics`` adds numbers to the validation.

    size: the side that picture files are brought to; None: what the encoder's weights were made for, else their own up
    to 64x64, else 64. encoder: one of ``simbench list encoders``; timm/<model> starts from ``weights`` (pretrained,
    none, or a file), stands still for the share ``freeze_fraction`` of the training and then moves at
    ``backbone_lr_mult`` times ``lr``. Where it never moves (1), each training image is put through it ``views`` times,
    once as it is and the others augmented, and all steps are taken on these features; tuned_stages: last stages of it
    that move all the same, on what the others make of the views. hidden: width of a hidden layer before the vector.
    samples_per_class: images of a class that a batch is to hold. ema_decay: of the weights' moving average, 0 for none.
    patience: epochs without a better validation map before training stops. compile: torch.compile the encoder.
    """

    encoder: str = plugin_option(ENCODER, "resnet")
    weights: str = file_option("pretrained", words=WEIGHT_WORDS)
    freeze_fraction: float = 0.2
    tuned_stages: int = 0
    views: int = 2
    backbone_lr_mult: float = 0.1
    hidden: int = 0
    embedding_dim: int = 128
    epochs: float = 14.0
    batch_size: int = 128
    samples_per_class: int = 4
    augment: Augment = "light"
    optimizer: Optimizer = "adamw"
    lr: float = tunable(3e-3, low=3e-4, high=1e-2, log=True)
    weight_decay: float = tunable(0.01, low=1e-3, high=0.3, log=True)
    schedule: Schedule = "one_cycle"
    warmup_fraction: float = 0.25
    ema_decay: float = 0.998
    grad_clip: float = 5.0
    patience: int = 5
    precision: Precision = "auto"
    compile: bool = False
    size: int | None = None

    # What the method's own objective may say otherwise; not options.
    stage_name = "1-encoder"
    monitor = "val_map"
    uses_pixels = False  # whether its loss looks at a batch's images, beside their vectors and labels

    def __post_init__(self) -> None:
        self.encoder = known_encoder(self.encoder)  # a run's key does not depend on how its model was called
        for name in ("embedding_dim", "epochs", "lr", "patience", "size"):
            if (value := getattr(self, name)) is not None and value <= 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        for name, least in (("batch_size", 2), ("samples_per_class", 1), ("views", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be {least} or more, got {getattr(self, name)}")
        for name in ("freeze_fraction", "warmup_fraction", "ema_decay"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be a share in [0, 1], got {getattr(self, name)}")
        for name in ("weight_decay", "grad_clip", "backbone_lr_mult", "hidden", "tuned_stages"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.tuned_stages and (not self.never_moves or self.weights == "none" or self.uses_pixels):
            raise ValueError("tuned_stages needs freeze_fraction=1, pretrained weights and a loss that sees no pixels")

    # ------------------------------------------------------------------------------------------ what a method says

    def make_head(self, classes: int) -> H:
        """Return a fresh module of what the objective learns beside the encoder; an empty one by default."""
        return nn.Identity()  # type: ignore[return-value]  # a method without a head is a TrainedMethod[nn.Module]

    def head_lr(self) -> float:
        """Return the head's peak learning rate; the encoder's by default."""
        return self.lr

    def loss(self, vectors: Tensor, batch: Batch, share: float | Tensor) -> dict[str, Tensor]:
        """Return named scalars of raw vectors ``(n, dim)``; ``loss`` is minimised.

        share: of the training done, in [0, 1]; on a GPU a 0-d tensor. There a loss that asks the device for a number
        (``.item()``, a branch on a value, a boolean index) cannot be captured, and its steps are taken one by one.
        """
        raise TypeError(f"{type(self).__name__} says no loss")

    def validation_metrics(self, vectors: Tensor, labels: Tensor) -> dict[str, float]:
        """Return more numbers of the validation's unit vectors ``(n, dim)``, by names that begin with ``val_``."""
        return {}

    def stages(self, job: Job) -> list[Stage]:
        """Return the training's phases; one by default."""
        return [self.encoder_stage(job)]

    # ------------------------------------------------------------------------------------------ use

    @property
    def native_size(self) -> Size | None:
        return None if self.weights == "none" else encoder_size(self.encoder)

    def embed(self, pixels: Tensor) -> Tensor:
        return self.embedder.embed(pixels)

    def network(self) -> nn.Module:
        return EmbeddingNetwork(self.embedder.embed, self.embedder)

    def count_parameters(self) -> int:
        return self.embedder.count_parameters()

    def modules(self) -> nn.ModuleDict:
        """Return what is trained and saved, by part."""
        return nn.ModuleDict({"embedder": self.embedder, "head": self.head})

    def state(self) -> Mapping[str, Tensor]:
        return {"classes": torch.tensor(self.classes), **self.modules().state_dict()}

    def restore(self, state: Mapping[str, Tensor], shape: ImageShape, device: torch.device) -> None:
        values = dict(state)
        classes = int(values.pop("classes"))
        decoding = any(name.startswith("decoder.") for name in values)
        self.build(shape, classes, device=device, weights="none", decoding=decoding)
        self.modules().load_state_dict(values)
        self.modules().eval()

    # ------------------------------------------------------------------------------------------ training

    def fit(self, train: Split, validation: Split, run: RunContext) -> None:
        torch.manual_seed(run.seed)
        shape, classes = train.images.shape, len(run.classes)
        self.build(shape, classes, device=run.device, weights=self.weights, decoding=False)
        self.embedder.measure(train)
        if self.compile:
            self.embedder.encoder.compile()
        job = Job(train, validation, run)
        run_stages(self.stages(replace(job, features=self.features(job))), run, owner=type(self).__name__.lower())

    def build(self, shape: ImageShape, classes: int, *, device: torch.device, weights: str, decoding: bool) -> None:
        """Make the modules, with random or pretrained weights; decoding: whether a trained decoder is among them."""
        self.classes = classes
        embedder = Embedder(
            self.encoder, shape, self.embedding_dim, weights=weights, size=self.size, hidden=self.hidden
        )
        self.embedder = embedder.to(device)
        self.head = self.make_head(classes).to(device)

    @property
    def never_moves(self) -> bool:
        """Whether pretrained weights stand still to the end."""
        return self.freeze_fraction >= 1

    def features(self, job: Job) -> FrozenFeatures | None:
        """Return what a backbone that never moves makes of the images; None where all of the encoder is trained."""
        parts = self.embedder.encoder.parts(self.tuned_stages) if self.never_moves and not self.uses_pixels else None
        if parts is None:
            return None
        views = views_of(self.views, Augmentation(self.augment, job.run.mirror), job.run.seed)
        return Extraction(parts[0], job.run, self.precision).frozen(parts[1], job.train, job.validation, views)

    def optimization(self) -> Optimization:
        return Optimization(
            self.optimizer, self.schedule, self.warmup_fraction, self.ema_decay, self.grad_clip, self.precision
        )

    def batches(self, job: Job, stage: int, augment: Augment) -> Batches:
        """Return a stage's batches: no two stages and no two seeds share an order.

        They are balanced over the classes; those of a method that never looks at labels are plain shuffles.
        """
        augmentation, train = Augmentation(augment, job.run.mirror), job.train
        if not uses_labels(self):
            train = replace(train, labels=np.zeros_like(train.labels))
        return Batches(
            train, self.batch_size, job.run.device, job.run.seed * 10 + stage, augmentation, self.samples_per_class
        )

    def encoder_groups(self, rate: float) -> list[Group]:
        """Return the encoder's parameters at a rate, those pretrained apart: still at first, then slower."""
        brought = self.embedder.encoder.pretrained()
        fresh = [one for one in self.embedder.parameters() if all(one is not other for other in brought)]
        groups = [Group(fresh, rate, self.weight_decay)]
        slower = rate * self.backbone_lr_mult
        if self.tuned_stages:  # the others take no gradients
            groups.append(Group([one for one in brought if one.requires_grad], slower, self.weight_decay))
        elif brought and not self.never_moves:
            groups.append(Group(brought, slower, self.weight_decay, still=self.freeze_fraction))
        return groups

    def encoder_stage(self, job: Job) -> Stage:
        batches = self.batches(job, 1, self.augment)
        if job.features is not None:
            batches = replace(batches, features=job.features.train)
        return Stage(self.stage_name, self.epochs, batches, partial(self.encoder_phase, job))

    def encoder_phase(self, job: Job, epochs: float) -> Phase:
        """Return the phase that trains the encoder, or what is behind a frozen backbone, and head on the loss."""
        learns: nn.Module = self.embedder if job.features is None else job.features.head

        def prepare(share: float) -> bool:
            still = job.features is None and share < self.freeze_fraction
            if job.features is None:
                self.embedder.encoder.hold(still)
            return still

        def loss(batch: Batch, share: float | Tensor) -> dict[str, Tensor]:
            return self.loss(learns(batch.inputs), batch, share)

        head = list(self.head.parameters())
        return Phase(
            name=self.stage_name,
            epochs=epochs,
            module=nn.ModuleDict({"embedder": learns, "head": self.head}),
            groups=[*self.encoder_groups(self.lr), *([Group(head, self.head_lr())] if head else [])],
            loss=loss,
            validate=lambda: self.validate(job),
            monitor=self.monitor,
            patience=self.patience,
            prepare=prepare,
            optimization=self.optimization(),
        )

    @torch.no_grad()
    def validate(self, job: Job) -> dict[str, float]:
        """Return the validation numbers of the modules as they stand; none without a validation split."""
        if not len(job.validation):
            return {}
        labels = torch.from_numpy(job.validation.labels).to(job.run.device)
        if job.features is None:
            vectors = self.embedder.embed_split(job.validation, job.run.device, self.precision)
        else:
            vectors = job.features.embed_validation(job.run.device, self.precision)
        numbers = {"val_map": retrieval_map(vectors, labels)}
        if len(torch.bincount(labels).nonzero()) > 1:  # images of one class may well embed as one
            numbers["val_mean_cosine"] = mean_cosine(vectors)
        return numbers | self.validation_metrics(vectors, labels)


def deviations(method: object) -> dict[str, Any]:
    """Return what a trained method does otherwise than all do by default, by option; nothing for any other method."""
    if not isinstance(method, TrainedMethod):
        return {}
    values = {one.name: (getattr(method, one.name), one.default) for one in fields(TrainedMethod)}
    return {name: value for name, (value, default) in values.items() if value != default}
