"""Exact ranks of many relevant items on a device without sorting everything: by counting, in torch.

Only a query's relevant scores are sorted. Each of all its scores finds its place among them by bisection; counts by
place, summed from the best down, say how many scores are at least as high as each relevant one. Counts are whole
numbers, so that the order in which threads add does not matter.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec

import torch
from torch import Tensor


@dataclass(frozen=True)
class Counted:
    """Ranks of the relevant items of some queries, best first; int64 ``(q, W)``, W the most that a query has.

    worst, best: with ties against and for them; anything from the R-th of a query on. known: bool ``(q, W)``, the
    first R of each.
    """

    worst: Tensor
    best: Tensor
    known: Tensor


def count_ranks(scores: Tensor, relevant: Tensor) -> Counted:
    """Return the ranks of relevant items.

    Args:
        scores: Float32 ``(q, N)``, no NaN, no negative zero; -inf for what a query does not rank.
        relevant: Float32 ``(q, W)``, the scores of its relevant items in any order, -inf behind them and where not
            ranked.

    Returns:
        Their ranks from 1. An item's optimistic rank lets relevant items go first among equal scores, its pessimistic
        one last; among relevant ones of one score they rise one by one.
    """
    width = relevant.shape[1]
    if width == 0:
        nothing = torch.zeros(relevant.shape, dtype=torch.int64, device=scores.device)
        return Counted(nothing, nothing, nothing.bool())
    rising = relevant.sort(dim=1).values
    at_least, above = bucket_counts(scores, rising)
    # of the relevant scores themselves, by the same rule, to be taken out
    own = torch.searchsorted(rising, rising, right=True), torch.searchsorted(rising, rising)
    others = [
        _from_the_best_down(counts) - _from_the_best_down(_histogram(place, width))
        for counts, place in zip((at_least, above), own, strict=True)
    ]
    place = torch.arange(1, width + 1, device=scores.device)
    worst, best = (count.flip(1) + place for count in others)
    return Counted(worst, best, (rising > -torch.inf).flip(1))


def bucket_counts(scores: Tensor, rising: Tensor) -> tuple[Tensor, Tensor]:
    """Return how many scores have each number of relevant scores at most, and below, them; int64 ``(q, W + 1)``.

    scores: float32 ``(q, N)``; rising: float32 ``(q, W)``, sorted.
    """
    if _has_kernel(scores.device):
        from bench.evaluation.ranking import counting_kernel  # noqa: PLC0415 - Triton is not everywhere

        return counting_kernel.bucket_counts(scores, rising)
    return bucket_counts_in_torch(scores, rising)


def bucket_counts_in_torch(scores: Tensor, rising: Tensor) -> tuple[Tensor, Tensor]:
    """Return what ``bucket_counts`` does, by torch's own operators, on any device."""
    width = rising.shape[1]
    place = torch.searchsorted(rising, scores, right=True)
    at_most = _histogram(place, width)
    # A score that equals a relevant one has fewer below it: as many as come before the first of that score.
    level = rising.gather(1, (place - 1).clamp_min(0)) == scores
    tied = torch.zeros_like(at_most).scatter_add_(1, place, level.long())
    first = torch.searchsorted(rising, rising)
    below = at_most - tied
    below.scatter_add_(1, first, tied[:, 1:])
    return at_most, below


def _has_kernel(device: torch.device) -> bool:
    """Return whether Triton's kernel runs on a device; with TRITON_INTERPRET=1 it does on a CPU, in Python."""
    on_card = device.type == "cuda" and torch.version.cuda is not None
    return (on_card or os.environ.get("TRITON_INTERPRET") == "1") and find_spec("triton") is not None


def _histogram(places: Tensor, width: int) -> Tensor:
    """Return how often each of 0..width comes in a row, int64 ``(q, width + 1)``."""
    counts = torch.zeros((len(places), width + 1), dtype=torch.int64, device=places.device)
    return counts.scatter_add_(1, places, torch.ones((), dtype=torch.int64, device=places.device).expand_as(places))


def _from_the_best_down(counts: Tensor) -> Tensor:
    """Return for each relevant score, rising, how many scores reach it; counts: int64 ``(q, W + 1)``."""
    return counts.flip(1).cumsum(dim=1).flip(1)[:, 1:]


def nearest_columns(scores: Tensor, relevant: Tensor, keep: int) -> tuple[Tensor, Tensor]:
    """Return each query's best columns, int64 ``(q, keep)``, -1 where there are no more, and their scores.

    scores: as for ``count_ranks``; relevant: bool ``(q, N)``. Equal scores are ordered against the query: what is not
    relevant first, then the lower column. Score and order are one whole number each, so that ``topk`` finds them exact.
    """
    bits = scores.view(torch.int32)
    rising = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits).long()  # whole numbers that rise as the scores do
    column = torch.arange(scores.shape[1], device=scores.device)
    keys = (rising << 32) | ((~relevant).long() << 31) | (0x7FFFFFFF - column)
    chosen = 0x7FFFFFFF - (keys.topk(keep, dim=1).values & 0x7FFFFFFF)
    found = scores.gather(1, chosen)
    return torch.where(found > -torch.inf, chosen, -1), found
