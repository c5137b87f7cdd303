"""ArcFace encoder and a decoder from its embeddings, trained in three phases.

1. *encoder*: class-balanced batches, additive angular margin (Deng et al., CVPR 2019).
2. *decoder*: mean squared error, the encoder frozen.
3. *joint*: both together; the decoded image must look like the original *and* embed like it.

Each phase keeps the epoch that did best on the validation split and leaves a checkpoint.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from bench import method, tunable
from bench.training.batches import Batch
from bench.training.decoder import DecodingMethod, RememberedVectors
from bench.training.losses import ArcFaceHead, accuracy
from bench.training.phase import Group, Phase
from bench.training.phases import Stage
from bench.training.trained import Job


@method
@dataclass
class ArcFace(DecodingMethod[ArcFaceHead]):
    """Rates are the optimiser's peaks; weights are those of the joint phase's sum."""

    margin: float = tunable(0.5, low=0.0, high=0.7)  # radians; raised from 0 over the first 40 %: at once stalls early
    scale: float = tunable(8.0, low=4.0, high=64.0, log=True)  # the usual 30 is content before classes are tight
    decoder_epochs: float = 1.0  # 0 trains no decoder: the encoder's phase is then the only one
    joint_epochs: float = 0.7
    accuracy_goal: float = 1.0  # phases 1 and 3 stop when the validation accuracy reaches this share
    decoder_lr: float = 2e-3
    joint_encoder_lr: float = 2e-4
    joint_decoder_lr: float = 1e-3
    arcface_weight: float = 0.02
    cycle_weight: float = 0.2  # 1 - cosine between an image's embedding and its decoded image's
    teacher_weight: float = 1.0  # 1 - cosine to the phase-1 embedding, which keeps the ranking while the encoder moves

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.margin < np.pi / 2:
            raise ValueError(f"margin must be in [0, pi/2) radians, got {self.margin}")
        if self.scale <= 0:
            raise ValueError(f"scale must be above 0, got {self.scale}")
        if self.decoder_epochs < 0:
            raise ValueError(f"decoder_epochs must not be negative, got {self.decoder_epochs}")

    def make_head(self, classes: int) -> ArcFaceHead:
        return ArcFaceHead(self.embedding_dim, classes, self.scale)

    def stages(self, job: Job) -> list[Stage]:
        encoder = self.encoder_stage(job)
        if self.decoder_epochs == 0:
            return [encoder]
        # Upright and unmoved images in the last two: there the image itself is the target.
        return [
            encoder,
            Stage("2-decoder", self.decoder_epochs, self.batches(job, 2, "none"), partial(self._decoder_phase, job)),
            Stage("3-joint", self.joint_epochs, self.batches(job, 3, "none"), partial(self._joint_phase, job)),
        ]

    # ------------------------------------------------------------------------------------------ phase 1

    def loss(self, vectors: Tensor, batch: Batch, share: float) -> dict[str, Tensor]:
        margin = self.margin * min(1.0, share / 0.4)
        return {"loss": self.head(vectors, batch.labels, margin)}

    def encoder_phase(self, job: Job, epochs: float) -> Phase:
        return replace(super().encoder_phase(job, epochs), goal_of="val_accuracy", goal=self.accuracy_goal)

    def validation_metrics(self, vectors: Tensor, labels: Tensor) -> dict[str, float]:
        return {"val_accuracy": accuracy(self.head.cosines(vectors), labels)}

    # ------------------------------------------------------------------------------------------ phases 2 and 3

    def _decoder_phase(self, job: Job, epochs: float) -> Phase:
        self.decoder_trained = True
        frozen = deepcopy(self.embedder).eval()
        vectors = RememberedVectors(frozen, len(job.train), self.embedding_dim, job.run.device)

        def loss(batch: Batch, share: float) -> dict[str, Tensor]:
            return {"loss": F.mse_loss(self.decoder(vectors.of(batch)), batch.pixels)}

        return Phase(
            name="2-decoder",
            epochs=epochs,
            module=self.decoder,
            groups=[Group(list(self.decoder.parameters()), self.decoder_lr, self.weight_decay)],
            loss=loss,
            validate=lambda: self.validate_decoding(job),
            monitor="val_decode_cosine",
            patience=self.patience,
            optimization=self.optimization(),
        )

    def _joint_phase(self, job: Job, epochs: float) -> Phase:
        self.embedder.encoder.hold(self.never_moves)  # phase 1 may have ended while pretrained weights stood still
        teacher = deepcopy(self.embedder).eval()  # now: a resumed phase loads an encoder that has moved already
        taught = RememberedVectors(teacher, len(job.train), self.embedding_dim, job.run.device)

        def loss(batch: Batch, share: float) -> dict[str, Tensor]:
            before = taught.of(batch)
            self.embedder.eval()  # batch norm keeps phase 1's statistics: decoded images must not shift them
            vectors = self.embedder.embed(batch.pixels)
            decoded = self.decoder(vectors)
            parts = {
                "mse": F.mse_loss(decoded, batch.pixels),
                "arcface": self.head(vectors, batch.labels, self.margin),
                "cycle": (1 - (self.embedder.embed(decoded) * vectors).sum(dim=1)).mean(),
                "teacher": (1 - (vectors * before).sum(dim=1)).mean(),
            }
            total = parts["mse"] + self.arcface_weight * parts["arcface"]
            total = total + self.cycle_weight * parts["cycle"] + self.teacher_weight * parts["teacher"]
            return {"loss": total, **parts}

        def validate() -> dict[str, float]:
            numbers = self.validate_decoding(job)
            both = (numbers["val_map"] + numbers["val_decode_cosine"]) / 2 if numbers else 0.0
            return numbers | ({"val_map_and_cosine": both} if numbers else {})

        return Phase(
            name="3-joint",
            epochs=epochs,
            module=self.modules(),
            groups=[
                Group(list(self.embedder.parameters()), self.joint_encoder_lr),
                Group(list(self.head.parameters()), self.joint_encoder_lr),
                Group(list(self.decoder.parameters()), self.joint_decoder_lr, self.weight_decay),
            ],
            loss=loss,
            validate=validate,
            monitor="val_map_and_cosine",
            goal_of="val_accuracy",
            goal=self.accuracy_goal,
            patience=self.patience,
            optimization=self.optimization(),
        )
