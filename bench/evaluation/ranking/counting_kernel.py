"""The counting of ``counting.bucket_counts`` as one pass over the scores, in Triton; imported where that is used.

A program takes one query and one stretch of its scores: two bisections in step among the relevant ones, which stay in
the cache, and two atomic additions a score. Only the scores are read from memory, and only the counts are written.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_STRETCH = 1_024  # scores of a program


def bucket_counts(scores: Tensor, rising: Tensor) -> tuple[Tensor, Tensor]:
    """Return what ``counting.bucket_counts`` does."""
    queries, columns = scores.shape
    width = rising.shape[1]
    counts = torch.zeros((2, queries, width + 1), dtype=torch.int32, device=scores.device)
    grid = (queries, triton.cdiv(columns, _STRETCH))
    line, at_most, below = rising.contiguous(), counts[0], counts[1]
    steps = width.bit_length()
    count[grid](scores, line, at_most, below, columns, scores.stride(0), width, steps=steps, stretch=_STRETCH)
    return at_most.long(), below.long()


@triton.jit  # type: ignore[untyped-decorator]
def count(  # type: ignore[no-untyped-def]  # noqa: PLR0917 - Triton's own types
    scores, rising, at_most, below, columns, row_stride, width, steps: tl.constexpr, stretch: tl.constexpr
):
    """Add each score of a stretch to the counts of its row: by relevant scores at most it, and below it."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * stretch + tl.arange(0, stretch)
    there = column < columns
    score = tl.load(scores + row * row_stride + column, mask=there, other=0.0)
    line = rising + row * width
    low = tl.zeros([stretch], tl.int32)
    high = low + width
    low_below, high_below = low, high
    for _ in range(steps):
        middle = (low + high) // 2
        open_ = (low < high) & there
        up = tl.load(line + middle, mask=open_, other=0.0) <= score
        low = tl.where(open_ & up, middle + 1, low)
        high = tl.where(open_ & (up == 0), middle, high)
        middle = (low_below + high_below) // 2
        open_ = (low_below < high_below) & there
        up = tl.load(line + middle, mask=open_, other=0.0) < score
        low_below = tl.where(open_ & up, middle + 1, low_below)
        high_below = tl.where(open_ & (up == 0), middle, high_below)
    tl.atomic_add(at_most + row * (width + 1) + low, 1, mask=there)
    tl.atomic_add(below + row * (width + 1) + low_below, 1, mask=there)
