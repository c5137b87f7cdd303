"""Losses of metric learning, as functions of vectors and labels.

All take vectors float ``(n, d)`` of any scale and precision and labels int64 ``(n,)``, compute in float32, and return a
scalar that is finite and has a finite gradient for every batch. A batch without a pair or triplet to learn from costs
zero, still attached to the graph, so that a training step needs no exception for it.
"""

from __future__ import annotations

from bench.training.losses.classification import ArcFaceHead as ArcFaceHead
from bench.training.losses.classification import ProxyAnchorHead as ProxyAnchorHead
from bench.training.losses.classification import SoftmaxHead as SoftmaxHead
from bench.training.losses.classification import accuracy as accuracy
from bench.training.losses.classification import add_angular_margin as add_angular_margin
from bench.training.losses.pairs import CosineProjection as CosineProjection
from bench.training.losses.pairs import Pairs as Pairs
from bench.training.losses.pairs import all_pairs as all_pairs
from bench.training.losses.pairs import balanced_pairs as balanced_pairs
from bench.training.losses.pairs import contrastive_loss as contrastive_loss
from bench.training.losses.pairs import multi_similarity_loss as multi_similarity_loss
from bench.training.losses.pairs import supcon_loss as supcon_loss
from bench.training.losses.triplets import Mining as Mining
from bench.training.losses.triplets import mine_triplets as mine_triplets
from bench.training.losses.triplets import satisfied_triplets as satisfied_triplets
from bench.training.losses.triplets import triplet_loss as triplet_loss
