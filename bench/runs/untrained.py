"""Methods that need no run: they train nothing and use no labels, and are fitted on the pictures that they search."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from bench.contract import (
    Baseline,
    Budget,
    Images,
    ImageShape,
    Method,
    Resize,
    RunContext,
    Saves,
    Split,
    UsageError,
    Workplace,
    asked_size,
    baseline_of,
    native_size,
    saver_of,
    uses_labels,
)
from bench.data.decoding.decode import SMALL
from bench.evaluation.inference.embed import embed_images
from bench.evaluation.ranking.arrays import Vectors
from bench.options import build, values_of
from bench.registry import get_method
from bench.runs.fitting import MemoryHistory
from bench.runs.sources import sources_of
from bench.training.checkpoints import FolderCheckpoints, digest_of_tensors

if TYPE_CHECKING:
    from bench.contract import Pixels

_STATE = "fitted"
_DIMENSION = "dimension"


@dataclass(frozen=True)
class UntrainedMethod:
    """A method without a run, as ``bench.runs.loaded_run.TrainedRun`` is one with: ready to embed once it is fitted.

    Attributes:
        name: The method's.
        method: With its options; saver: the same, as what keeps its state.
        device: To embed on.
        identity: What tells its vectors from all others': method, options, code, and once fitted its state.
        dimension: Of its vectors, 0 before it is fitted.
    """

    name: str
    method: Method
    saver: Saves
    device: torch.device
    identity: str
    dimension: int = 0

    @classmethod
    def of(cls, name: str, given: Mapping[str, Any], device: torch.device) -> UntrainedMethod:
        """Make a method. Raises UsageError for one that has to be trained, or cannot be kept."""
        method: Method = build(get_method(name), given, owner=f"method {name}")
        saver, trains = saver_of(method), baseline_of(method) not in (Baseline.FLOOR, Baseline.FROZEN)
        if uses_labels(method) or trains or saver is None:
            raise UsageError(
                f"{name} needs training: simbench run -m {name} -d DATA first, then search with --run (without a run: "
                "methods that use no labels and train nothing, such as pretrained)"
            )
        options = values_of(method)
        facts = {"method": name, "options": options, "sources": sources_of(name, options), "device": device.type}
        return cls(name, method, saver, device, json.dumps(facts, sort_keys=True))

    @property
    def shape(self) -> ImageShape:
        """Of the images that it takes, in colour: what its option ``size`` says, or its network's own, else 64x64."""
        height, width = asked_size(self.method) or native_size(self.method) or (SMALL, SMALL)
        return ImageShape(height, width, 3)

    @property
    def resize(self) -> Resize:
        """How pictures are brought to that size: as a folder's are in a run."""
        return Resize(self.shape.height, self.shape.width)

    def embed(self, pixels: Pixels) -> Vectors:
        """Return unit vectors, float32 ``(n, d)``, of uint8 ``(n, height, width, 3)``."""
        return embed_images(self.method, Images(pixels), device=self.device)

    def fit(self, shown: Split, folder: Path, facts: Mapping[str, Any], place: Workplace) -> UntrainedMethod:
        """Fit it on pictures of its shape, and keep its state in a folder, with facts; see ``restored``."""
        store = FolderCheckpoints(folder, self.identity)
        context = RunContext(
            seed=0,
            device=self.device,
            classes=(),
            mirror=False,
            budget=Budget(),
            checkpoints=store,
            history=MemoryHistory(),
            progress=place.progress,
            log=place.log,
        )
        self.method.fit(shown, shown.subset(np.empty(0, np.int64)), context)
        dimension = self.embed(shown.images.take(slice(0, 1))).shape[1]
        store.save(_STATE, self.saver.state(), {**facts, _DIMENSION: dimension})
        return self._known_by(self.saver.state(), dimension)

    def restored(self, folder: Path) -> tuple[UntrainedMethod, dict[str, Any]] | None:
        """Return it as ``fit`` has kept it in a folder, with the facts; None where nothing is, or it is damaged."""
        kept = FolderCheckpoints(folder, self.identity).load(_STATE)
        if kept is None:
            return None
        state, facts = kept
        self.saver.restore(state, self.shape, self.device)
        return self._known_by(state, int(facts[_DIMENSION])), facts

    def _known_by(self, state: Mapping[str, torch.Tensor], dimension: int) -> UntrainedMethod:
        plain = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
        return replace(self, identity=f"{self.identity} {digest_of_tensors({}, plain)}", dimension=dimension)
