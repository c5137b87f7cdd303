"""The miners against plain loops over the batch and against the field's library."""

from __future__ import annotations

import math
from collections import Counter
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.miners import (
    BatchHardMiner,
    DistanceWeightedMiner,
    TripletMarginMiner,
    distance_weighted_miner,
)
from torch import Tensor
from torch.nn import functional as F

from bench.training.losses import Mining, mine_triplets
from bench.training.losses.distances import PairDistances
from bench.training.losses.mining import negative_weights

LABELS = st.lists(st.integers(0, 3), min_size=1, max_size=12).map(torch.tensor)
SEEDS = st.integers(0, 1_000)


def random_vectors(n: int, seed: int, dim: int = 6) -> Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


def distances_of(vectors: Tensor) -> Tensor:
    units = F.normalize(vectors, dim=1)
    apart: Tensor = torch.linalg.vector_norm(units[:, None] - units[None], dim=2)
    return apart


def triplets(
    vectors: Tensor, labels: Tensor, mining: Mining, margin: float, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    pairs = PairDistances.of(vectors)
    return mine_triplets(pairs, labels, mining, dim=vectors.shape[1], margin=margin, generator=generator).listed()


def mined(vectors: Tensor, labels: Tensor, mining: Mining, margin: float = 0.2) -> list[tuple[int, int, int]]:
    rows = triplets(vectors, labels, mining, margin, torch.Generator().manual_seed(0))
    assert all(row.dtype == torch.int64 for row in rows)
    return list(zip(*(row.tolist() for row in rows), strict=True))


def pairs_with_negatives(labels: list[int]) -> list[tuple[int, int]]:
    n = range(len(labels))
    return [(a, p) for a in n for p in n if a != p and labels[a] == labels[p] and len(set(labels)) > 1]


@pytest.mark.parametrize("mining", get_args(Mining))
@given(labels=LABELS, seed=SEEDS, copies=st.booleans())
def test_every_triplet_has_a_positive_of_its_class_and_a_negative_of_another(
    mining: Mining, labels: Tensor, seed: int, copies: bool
) -> None:
    vectors = torch.ones(len(labels), 6) if copies else random_vectors(len(labels), seed)
    triplets = mined(vectors, labels, mining)
    kinds = labels.tolist()
    assert all(a != p and kinds[a] == kinds[p] != kinds[n] for a, p, n in triplets)
    possible = pairs_with_negatives(kinds)
    if mining == "batch_hard":
        assert [a for a, _, _ in triplets] == sorted({a for a, _ in possible})
    else:
        assert [(a, p) for a, p, _ in triplets] == possible


@given(LABELS, SEEDS, st.floats(0.01, 1.0))
def test_semi_hard_mining_equals_a_loop_over_the_pairs(labels: Tensor, seed: int, margin: float) -> None:
    vectors = random_vectors(len(labels), seed)
    distances, kinds = distances_of(vectors).tolist(), labels.tolist()
    wanted = []
    for a, p in pairs_with_negatives(kinds):
        negatives = [n for n in range(len(kinds)) if kinds[n] != kinds[a]]
        near = distances[a][p]
        band = [n for n in negatives if near < distances[a][n] < near + margin]
        n = min(band, key=distances[a].__getitem__) if band else max(negatives, key=distances[a].__getitem__)
        wanted.append((a, p, n))
    assert mined(vectors, labels, "semi_hard", margin) == wanted


@given(SEEDS, st.floats(0.05, 1.0))
def test_semi_hard_triplets_in_the_band_are_pytorch_metric_learnings_hardest(seed: int, margin: float) -> None:
    labels = torch.arange(16) % 3
    vectors = random_vectors(16, seed)
    distances = distances_of(vectors)
    hardest: dict[tuple[int, int], int] = {}
    miner = TripletMarginMiner(margin, "semihard", distance=LpDistance())
    for a, p, n in zip(*(row.tolist() for row in miner(vectors, labels)), strict=True):
        best = hardest.setdefault((a, p), n)
        hardest[a, p] = n if distances[a, n] < distances[a, best] else best
    ours = {
        (a, p): n
        for a, p, n in mined(vectors, labels, "semi_hard", margin)
        if distances[a, p] < distances[a, n] < distances[a, p] + margin
    }
    assert ours == hardest


@given(LABELS, SEEDS)
def test_batch_hard_mining_equals_a_loop_over_the_anchors(labels: Tensor, seed: int) -> None:
    vectors = random_vectors(len(labels), seed)
    distances, kinds = distances_of(vectors).tolist(), labels.tolist()
    wanted = []
    for a in sorted({a for a, _ in pairs_with_negatives(kinds)}):
        positives = [p for p in range(len(kinds)) if p != a and kinds[p] == kinds[a]]
        negatives = [n for n in range(len(kinds)) if kinds[n] != kinds[a]]
        distance = distances[a].__getitem__
        wanted.append((a, max(positives, key=distance), min(negatives, key=distance)))
    assert mined(vectors, labels, "batch_hard") == wanted


@given(SEEDS)
def test_batch_hard_mining_equals_pytorch_metric_learning(seed: int) -> None:
    labels, vectors = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1, 3, 0, 2, 2]), random_vectors(12, seed)
    theirs = BatchHardMiner(distance=LpDistance())(vectors, labels)
    assert mined(vectors, labels, "batch_hard") == list(zip(*(row.tolist() for row in theirs), strict=True))


def frequencies(vectors: Tensor, labels: Tensor, mining: Mining, rounds: int) -> Tensor:
    """How often each image was an anchor's negative, as a share of the anchor's triplets."""
    counts, generator = torch.zeros(len(labels), len(labels)), torch.Generator().manual_seed(0)
    for _ in range(rounds):
        anchors, _, negatives = triplets(vectors, labels, mining, 0.2, generator)
        counts.index_put_((anchors, negatives), torch.ones(len(anchors)), accumulate=True)
    return counts / counts.sum(dim=1, keepdim=True).clamp_min(1)


def test_random_negatives_are_uniform_over_the_other_classes() -> None:
    labels = torch.tensor([2, 0, 1, 0, 2, 1, 2, 0])
    different = (labels[:, None] != labels).float()
    share = frequencies(random_vectors(8, 0), labels, "random", 4_000)
    assert torch.allclose(share, different / different.sum(dim=1, keepdim=True), atol=0.02)


@pytest.mark.parametrize("dim", [2, 3, 6, 128])
def test_the_distance_weights_equal_the_papers_formula_in_double_precision(dim: int) -> None:
    labels, vectors = torch.arange(12) % 3, random_vectors(12, 0, dim)
    vectors[1] = vectors[0] * 3  # a negative at distance 0
    distances = distances_of(vectors)
    weights = negative_weights(distances, labels, dim)
    for a in range(12):
        logs = {}
        for n in range(12):
            raw = distances[a, n].item()
            d = max(raw, 0.5)
            if labels[n] != labels[a] and raw < 1.4:
                logs[n] = -(dim - 2) * math.log(d) - (dim - 3) / 2 * math.log(1 - d * d / 4)
        top = max(logs.values(), default=0.0)
        total = sum(math.exp(log - top) for log in logs.values())
        far = [n for n in range(12) if labels[n] != labels[a]]
        for n in range(12):
            wanted = math.exp(logs[n] - top) / total if n in logs else (n in far) / len(far) if not logs else 0.0
            assert weights[a, n].item() == pytest.approx(wanted, abs=1e-4 if dim == 128 else 1e-5)


def test_the_distance_weights_equal_pytorch_metric_learnings(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, vectors, seen = torch.arange(16) % 4, random_vectors(16, 1), []

    def record(labels: Tensor, ref_labels: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        seen.append(weights)
        return labels[:0], labels[:0], labels[:0]

    monkeypatch.setattr(distance_weighted_miner.lmu, "get_random_triplet_indices", record)
    DistanceWeightedMiner(0.5, 1.4)(vectors, labels)
    assert torch.allclose(negative_weights(distances_of(vectors), labels, 6), seen[0], atol=1e-5)


def test_distance_weighted_negatives_come_as_often_as_their_weights_say() -> None:
    labels, vectors = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1]), random_vectors(8, 2, 4)
    weights = negative_weights(distances_of(vectors), labels, 4)
    assert torch.allclose(frequencies(vectors, labels, "distance_weighted", 6_000), weights, atol=0.02)


def test_an_anchor_whose_negatives_are_all_opposite_draws_any_of_them() -> None:
    labels = torch.tensor([0, 0, 1, 1, 2])
    vectors = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [-1.0, 0.1], [-1.0, -0.1]])
    assert torch.allclose(negative_weights(distances_of(vectors), labels, 2)[0], torch.tensor([0, 0, 1, 1, 1]) / 3)


def test_the_draws_follow_the_generator_alone() -> None:
    labels, vectors = torch.arange(30) % 3, random_vectors(30, 3)
    for mining in ("random", "distance_weighted"):
        first, second = mined(vectors, labels, mining), mined(vectors, labels, mining)
        assert first == second
        assert max(Counter(n for _, _, n in first).values()) < len(first)


def test_an_unknown_mining_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no mining 'hardest'"):
        triplets(torch.randn(4, 2), torch.tensor([0, 0, 1, 1]), "hardest", 0.2)  # type: ignore[arg-type]
