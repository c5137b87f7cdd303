"""Features of a network trained elsewhere (ImageNet, DINOv2, CLIP, ...), centred on the training images'; no labels.

Babenko et al. ("Neural codes for image retrieval", ECCV 2014) showed how far such features go without any training;
Jegou & Chum (ECCV 2012) why to take the mean out and to whiten.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bench import RunContext, Split, method
from bench.principal_components import PrincipalComponents, fit_components
from bench.training.batches import in_chunks
from bench.training.features import at_once

from ._features import FeatureMethod


@method
@dataclass
class Pretrained(FeatureMethod):
    """A vector is the model's pooled features at unit length, minus the mean of those of the training images.

    center: subtract the mean, which all images share and which makes all cosines alike: on photographs of cats and dogs
    it lifts map from .86 to .91. pca, whiten: keep so many principal components, give each the same variance. sample:
    how many training images, evenly spaced, the mean and the components are taken from.
    """

    center: bool = True
    pca: int | None = None
    whiten: bool = False
    sample: int = 2_000

    uses_labels = False
    baseline = "frozen"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value in (("pca", self.pca), ("sample", self.sample)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if not self.center and (self.pca is not None or self.whiten):
            raise ValueError("principal components are taken around the mean: pca and whiten need center=true")

    def fit(self, train: Split, validation: Split, run: RunContext) -> None:
        self.prepare(train.images.shape, run)
        if not self.center:
            self.components = PrincipalComponents(torch.zeros(self.backbone.features, device=run.device))
            return
        vectors = self._features_of_sample(train, run)
        if self.pca is None and not self.whiten:
            fitted = PrincipalComponents(vectors.cpu().double().mean(dim=0).float())
        else:
            fitted = fit_components(vectors, dims=self.pca, whiten=self.whiten)
        self.components = fitted.to(run.device)
        dims = self.backbone.features if fitted.axes is None else len(fitted.axes)
        run.log(
            f"centred on {len(vectors)} of {len(train)} training images, whose mean vector has length "
            f"{float(fitted.mean.norm()):.3f} (1 would be all alike); {dims} dimensions{_variance(vectors, fitted)}"
        )

    @torch.no_grad()
    def _features_of_sample(self, train: Split, run: RunContext) -> Tensor:
        count = min(len(train), self.sample)
        chosen = train.subset(np.linspace(0, len(train) - 1, count).astype(np.int64))
        size = at_once(run.device)
        chunks = run.progress(in_chunks(chosen, run.device, size), total=-(-count // size), what="features")
        return torch.cat([self.unit_features(pixels) for pixels in chunks])


def _variance(vectors: Tensor, fitted: PrincipalComponents) -> str:
    """Return the share of variance that the principal axes hold, in words; nothing without axes."""
    if fitted.axes is None:
        return ""
    centred = vectors.cpu() - fitted.mean
    along = (centred @ F.normalize(fitted.axes, dim=1).T).square().sum() / centred.square().sum()
    return f" with {100 * float(along):.1f} % of the variance"
