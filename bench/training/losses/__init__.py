"""Losses of metric learning, as functions of vectors and labels.

All take vectors float ``(n, d)`` of any scale and precision and labels int64 ``(n,)``, compute in float32, and return a
scalar that is finite and has a finite gradient for every batch. A batch without a pair or triplet to learn from costs
zero, still attached to the graph, so that a training step needs no exception for it.
"""

from __future__ import annotations

from bench.training.losses.classification import ArcFaceHead, ProxyAnchorHead, SoftmaxHead, add_angular_margin
from bench.training.losses.pairs import (
    CosineProjection,
    Pairs,
    all_pairs,
    balanced_pairs,
    contrastive_loss,
    multi_similarity_loss,
    supcon_loss,
)
from bench.training.losses.triplets import Mining, mine_triplets, satisfied_triplets, triplet_loss

__all__ = [
    "ArcFaceHead",
    "CosineProjection",
    "Mining",
    "Pairs",
    "ProxyAnchorHead",
    "SoftmaxHead",
    "add_angular_margin",
    "all_pairs",
    "balanced_pairs",
    "contrastive_loss",
    "mine_triplets",
    "multi_similarity_loss",
    "satisfied_triplets",
    "supcon_loss",
    "triplet_loss",
]
