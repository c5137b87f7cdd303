"""ArcFace encoder and a decoder from its embeddings, trained in three phases.

1. *encoder*: class-balanced batches, additive angular margin (Deng et al., CVPR 2019).
2. *decoder*: mean squared error, the encoder frozen.
3. *joint*: both together; the decoded image must look like the original *and* embed like it.

Each phase keeps the epoch that did best on the validation split and leaves a checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench import FitContext, ImageShape, Split, UsageError, method
from bench.training.batches import Batch, Batches, in_chunks
from bench.training.decoders import Decoder
from bench.training.embedder import Embedder
from bench.training.loop import Group, Phase, run_phase, seconds_per_epoch
from bench.training.losses import ArcFaceHead
from bench.training.plan import plan_epochs
from bench.training.precision import mixed_precision
from bench.training.remembered import RememberedVectors
from bench.training.validation import retrieval_map


@method
@dataclass
class ArcFace:
    """The options. Rates are AdamW's peaks; weights are those of the joint phase's sum."""

    encoder: str = "resnet"
    dim: int = 128
    margin: float = 0.3  # radians, raised from 0 over the first 40 % of phase 1: a full margin at once stalls early
    scale: float = 30.0
    batch: int = 128
    lr: float = 3e-3
    weight_decay: float = 0.01
    encoder_epochs: float = 10.0
    decoder_epochs: float = 1.0
    joint_epochs: float = 0.7
    accuracy_goal: float = 1.0  # phases 1 and 3 stop when the validation accuracy reaches this share
    patience: int = 5  # epochs without a better validation number before a phase stops
    decoder_lr: float = 2e-3
    joint_encoder_lr: float = 2e-4
    joint_decoder_lr: float = 1e-3
    arcface_weight: float = 0.02
    cycle_weight: float = 0.2  # 1 - cosine between an image's embedding and its decoded image's
    teacher_weight: float = 1.0  # 1 - cosine to the phase-1 embedding, which keeps the ranking while the encoder moves

    def __post_init__(self) -> None:
        if not 0 <= self.margin < np.pi / 2:
            raise ValueError(f"margin must be in [0, pi/2) radians, got {self.margin}")
        if min(self.dim, self.batch - 1, self.scale, self.lr) <= 0:
            raise ValueError("dim, scale and lr must be above 0, batch above 1")
        self.decoder_trained = False

    # ------------------------------------------------------------------------------------------ use

    def embed(self, pixels: Tensor) -> Tensor:
        return self.embedder.embed(pixels)

    def decode(self, vectors: Tensor) -> Tensor:
        image: Tensor = self.decoder(vectors)
        return image

    @property
    def can_decode(self) -> bool:
        return self.decoder_trained

    def count_parameters(self) -> int:
        return self.embedder.count_parameters()

    def state(self) -> Mapping[str, Tensor]:
        parts = {"embedder": self.embedder, "head": self.head} | ({"decoder": self.decoder} if self.can_decode else {})
        return {f"{part}.{name}": t for part, module in parts.items() for name, t in module.state_dict().items()}

    def restore(self, state: Mapping[str, Tensor], shape: ImageShape, device: torch.device) -> None:
        self._build(shape, len(state["head.centres"]), mirror=bool(state["embedder.mirror"]), device=device)
        self.decoder_trained = any(name.startswith("decoder.") for name in state)
        whole = nn.ModuleDict({"embedder": self.embedder, "head": self.head})
        if self.can_decode:
            whole["decoder"] = self.decoder
        whole.load_state_dict(dict(state))
        whole.eval()

    def _build(self, shape: ImageShape, classes: int, *, mirror: bool, device: torch.device) -> None:
        self.embedder = Embedder(self.encoder, shape, self.dim, mirror=mirror).to(device)
        self.head = ArcFaceHead(self.dim, classes, self.scale).to(device)
        self.decoder = Decoder(shape, self.dim).to(memory_format=torch.channels_last).to(device)

    # ------------------------------------------------------------------------------------------ training

    def fit(self, train: Split, validation: Split, run: FitContext) -> None:
        chosen = run.budget.phases or (1, 2, 3)
        if list(chosen) != sorted({1, *chosen} & {1, 2, 3}):
            given = ",".join(map(str, chosen))
            raise UsageError(f"arcface has phases 1, 2, 3, in that order and from 1 on, got {given}")
        torch.manual_seed(run.seed)
        self._build(train.images.shape, len(run.classes), mirror=run.mirror, device=run.device)
        self.embedder.measure(train)
        job = _Job(train, validation, run)
        phases = {"1-encoder": self._encoder_phase, "2-decoder": self._decoder_phase, "3-joint": self._joint_phase}
        names = [name for name in phases if int(name[0]) in chosen]
        epochs = dict(zip(phases, (self.encoder_epochs, self.decoder_epochs, self.joint_epochs), strict=True))
        plan = plan_epochs(
            {name: epochs[name] for name in names},
            run,
            lambda: {name: seconds_per_epoch(phases[name](job, 1.0), job.batches(self, name), run) for name in names},
        )
        for name in names:
            run_phase(phases[name](job, plan[name]), job.batches(self, name), run)
            self.decoder_trained |= name != "1-encoder"

    def _encoder_phase(self, job: _Job, epochs: float) -> Phase:
        def loss(batch: Batch, share: float) -> dict[str, Tensor]:
            margin = self.margin * min(1.0, share / 0.4)
            return {"loss": self.head(self.embedder(batch.pixels), batch.labels, margin)}

        return Phase(
            name="1-encoder",
            epochs=epochs,
            module=nn.ModuleDict({"embedder": self.embedder, "head": self.head}),
            groups=[
                Group(list(self.embedder.parameters()), self.lr, self.weight_decay),
                Group(list(self.head.parameters()), self.lr),
            ],
            loss=loss,
            validate=lambda: self._validate(job),
            better="val_map",
            goal_of="val_accuracy",
            goal=self.accuracy_goal,
            patience=self.patience,
        )

    def _decoder_phase(self, job: _Job, epochs: float) -> Phase:
        frozen = deepcopy(self.embedder).eval()
        vectors = RememberedVectors(frozen, len(job.train), self.dim, job.device)

        def loss(batch: Batch, share: float) -> dict[str, Tensor]:
            return {"loss": F.mse_loss(self.decoder(vectors.of(batch)), batch.pixels)}

        return Phase(
            name="2-decoder",
            epochs=epochs,
            module=self.decoder,
            groups=[Group(list(self.decoder.parameters()), self.decoder_lr, self.weight_decay)],
            loss=loss,
            validate=lambda: self._validate(job, decoding=True),
            better="val_decode_cosine",
            patience=self.patience,
        )

    def _joint_phase(self, job: _Job, epochs: float) -> Phase:
        teacher = deepcopy(self.embedder).eval()  # now: a resumed phase loads an encoder that has moved already
        taught = RememberedVectors(teacher, len(job.train), self.dim, job.device)

        def loss(batch: Batch, share: float) -> dict[str, Tensor]:
            before = taught.of(batch)
            self.embedder.eval()  # batch norm keeps phase 1's statistics: decoded images must not shift them
            vectors = self.embedder.embed_with_gradient(batch.pixels)
            decoded = self.decoder(vectors)
            parts = {
                "mse": F.mse_loss(decoded, batch.pixels),
                "arcface": self.head(vectors, batch.labels, self.margin),
                "cycle": (1 - (self.embedder.embed_with_gradient(decoded) * vectors).sum(dim=1)).mean(),
                "teacher": (1 - (vectors * before).sum(dim=1)).mean(),
            }
            total = parts["mse"] + self.arcface_weight * parts["arcface"]
            total = total + self.cycle_weight * parts["cycle"] + self.teacher_weight * parts["teacher"]
            return {"loss": total, **parts}

        return Phase(
            name="3-joint",
            epochs=epochs,
            module=nn.ModuleDict({"embedder": self.embedder, "head": self.head, "decoder": self.decoder}),
            groups=[
                Group(list(self.embedder.parameters()), self.joint_encoder_lr),
                Group(list(self.head.parameters()), self.joint_encoder_lr),
                Group(list(self.decoder.parameters()), self.joint_decoder_lr, self.weight_decay),
            ],
            loss=loss,
            validate=lambda: self._validate(job, decoding=True),
            better="val_accuracy_and_cosine",
            goal_of="val_accuracy",
            goal=self.accuracy_goal,
            patience=self.patience,
        )

    @torch.no_grad()
    def _validate(self, job: _Job, *, decoding: bool = False) -> dict[str, float]:
        """Return the validation numbers of the modules as they stand; none without a validation split."""
        if not len(job.validation):
            return {}
        labels = torch.from_numpy(job.validation.labels).to(job.device)
        vectors = self.embedder.embed_split(job.validation, job.device)
        accuracy = float((self.head.cosines(vectors).argmax(dim=1) == labels).float().mean())
        numbers = {"val_accuracy": accuracy, "val_map": retrieval_map(vectors, labels)}
        if decoding:
            errors, cosines = [], []
            for pixels, part in zip(in_chunks(job.validation, job.device), torch.split(vectors, 500), strict=True):
                with mixed_precision(job.device):
                    decoded = self.decoder(part)
                    cosines.append((self.embedder.embed(decoded) * part).sum(dim=1))
                errors.append((decoded - pixels).square().mean(dim=(1, 2, 3)))
            numbers["val_mse"] = float(torch.cat(errors).mean())
            numbers["val_decode_cosine"] = float(torch.cat(cosines).mean())
            numbers["val_accuracy_and_cosine"] = (accuracy + numbers["val_decode_cosine"]) / 2
        return numbers


@dataclass(frozen=True)
class _Job:
    """What one call of fit works on."""

    train: Split
    validation: Split
    run: FitContext

    @property
    def device(self) -> torch.device:
        return self.run.device

    def batches(self, method: ArcFace, phase: str) -> Batches:
        """Return a phase's batches: mirrored at random in the first, upright where the image itself is the target."""
        mirror = self.run.mirror and phase == "1-encoder"
        return Batches(self.train, method.batch, self.device, mirror, self.run.seed * 10 + int(phase[0]))
