"""A small network taught by another's vectors, without labels: what it keeps, for a fraction of the time.

Hinton, Vinyals & Dean (2015) taught by class scores; vectors themselves teach as in Park et al. ("Relational knowledge
distillation", CVPR 2019): each picture's vector is to point where the teacher's does, and the similarities within a
batch are to be the teacher's.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench import RunContext, Split, file_option, method, open_run, tunable
from bench.principal_components import fit_components
from bench.training.batches import Batch, to_unit_float
from bench.training.encoders.timm import Backbone, backbone_size
from bench.training.features import AT_ONCE, at_once
from bench.training.trained import TrainedMethod

FROZEN = "pretrained"
_BACKBONE = "tf_efficientnet_lite0"
_SAVED = 64 * AT_ONCE  # images between checkpoints


@method
@dataclass
class Distilled(TrainedMethod[nn.Module]):
    """The student has this method's own encoder and size; the teacher sees pictures at the size that it was made for.

    teacher: the run.json of a finished run, or "pretrained": features of the network that `pretrained` uses. A longer
    vector is brought to ``embedding_dim`` by principal components. relations: weight of the batch's similarities beside
    the vectors' own directions.
    """

    teacher: str = file_option(FROZEN, words=(FROZEN,))
    relations: float = tunable(1.0, low=0.0, high=10.0)

    uses_labels = False
    stage_name = "1-student"
    monitor = "val_cosine"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.relations < 0:
            raise ValueError(f"relations must not be negative, got {self.relations}")
        if self.teacher != FROZEN and not Path(self.teacher).is_file():
            raise ValueError(f"teacher must be {FROZEN!r} or the run.json of a finished run, got {self.teacher!r}")

    def fit(self, train: Split, validation: Split, run: RunContext) -> None:
        teacher = _Frozen(run) if self.teacher == FROZEN else _Run(self.teacher, run)
        taught = _taught(teacher, train, "train", run)
        held_out = _taught(teacher, validation, "held-out", run) if len(validation) else taught[:0]
        if taught.shape[1] > self.embedding_dim:
            axes = fit_components(taught, dims=self.embedding_dim, null=True)
            taught, held_out = axes(taught), axes(held_out)
        self._targets, self._held_out = (self._as_long(part).to(run.device) for part in (taught, held_out))
        super().fit(train, validation, run)
        del self._targets, self._held_out

    def loss(self, vectors: Tensor, batch: Batch, share: float | Tensor) -> dict[str, Tensor]:
        found, wanted = F.normalize(vectors, dim=1), self._targets[batch.rows]
        direction = 1 - (found * wanted).sum(dim=1).mean()
        relation = F.mse_loss(found @ found.T, wanted @ wanted.T)
        return {"loss": direction + self.relations * relation, "direction": direction, "relation": relation}

    def validation_metrics(self, vectors: Tensor, labels: Tensor) -> dict[str, float]:
        """Return the mean cosine with the teacher: by it, and by no label, an epoch is chosen."""
        return {"val_cosine": float((vectors * self._held_out).sum(dim=1).mean())}

    def _as_long(self, vectors: Tensor) -> Tensor:
        """Return unit vectors of this method's length: shorter ones end in zeros, which changes no similarity."""
        return F.normalize(F.pad(vectors, (0, self.embedding_dim - vectors.shape[1])), dim=1)


class _Teacher(Protocol):
    """Gives unit vectors, float32 ``(n, d)``, of some of a split's images, brought to its own size."""

    def __call__(self, split: Split, rows: slice) -> Tensor: ...


@torch.no_grad()
def _taught(teacher: _Teacher, split: Split, name: str, run: RunContext) -> Tensor:
    """Return the teacher's unit vectors of a split, float32 ``(n, d)``; those from before a kill are kept."""
    found, starts = [], range(0, len(split), _SAVED)
    for start in run.progress(starts, total=len(starts), what="teacher"):
        key = f"0-teacher-{name}-{start}"
        saved = run.checkpoints.load(key)
        vectors = saved[0]["vectors"] if saved else teacher(split, slice(start, min(start + _SAVED, len(split))))
        if saved is None:
            run.checkpoints.save(key, {"vectors": vectors}, {})
        found.append(vectors)
    return torch.cat(found)


class _Run:
    """A finished run as the teacher."""

    def __init__(self, file: str, run: RunContext) -> None:
        self._run = open_run(Path(file).parent, run.device.type)
        self._size = (self._run.shape.height, self._run.shape.width)

    def __call__(self, split: Split, rows: slice) -> Tensor:
        return torch.from_numpy(self._run.embed(split.at(self._size).images.take(rows)))


class _Frozen:
    """The network that `pretrained` uses, as it comes, as the teacher."""

    def __init__(self, run: RunContext) -> None:
        self._device = run.device
        self._network: Backbone | None = None

    def __call__(self, split: Split, rows: slice) -> Tensor:
        images = split.at(backbone_size(_BACKBONE)).images
        if self._network is None:
            self._network = Backbone(_BACKBONE, images.shape).to(self._device).eval()
        pixels = torch.from_numpy(images.take(rows))
        parts = [
            self._network(to_unit_float(some, self._device)) for some in torch.split(pixels, at_once(self._device))
        ]
        return F.normalize(torch.cat(parts).float(), dim=1).cpu()
