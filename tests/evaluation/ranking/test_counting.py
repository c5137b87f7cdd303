"""Ranks by counting: equal to plain loops, in torch and in Triton's kernel, which also compiles for a card."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bench.evaluation.ranking.counting import bucket_counts_in_torch, count_ranks, nearest_columns


def case(seed: int) -> tuple[Tensor, Tensor]:
    """Scores with many ties, some excluded, and which columns are relevant to each query."""
    draw = torch.Generator().manual_seed(seed)
    queries, columns = (int(torch.randint(1, most, (), generator=draw)) for most in (6, 60))
    scores = torch.randint(-4, 5, (queries, columns), generator=draw) / 3 + 0.0
    scores[torch.rand(scores.shape, generator=draw) < 0.1] = -torch.inf
    return scores, torch.rand(scores.shape, generator=draw) < 0.3


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_ranks_are_those_of_a_loop_with_ties_both_ways(seed: int) -> None:
    scores, relevant = case(seed)
    width = int(relevant.sum(dim=1).max())
    theirs = torch.full((len(scores), width), -torch.inf)
    for row, line in enumerate(relevant):
        theirs[row, : int(line.sum())] = scores[row, line]
    counted = count_ranks(scores, theirs)
    for row, line in enumerate(relevant):
        own = sorted((value for value in scores[row, line].tolist() if value > -torch.inf), reverse=True)
        others = scores[row, ~line].tolist()
        worst = [place + sum(other >= value for other in others) for place, value in enumerate(own, start=1)]
        best = [place + sum(other > value for other in others) for place, value in enumerate(own, start=1)]
        assert counted.worst[row][counted.known[row]].tolist() == worst
        assert counted.best[row][counted.known[row]].tolist() == best


@given(st.integers(0, 10_000), st.integers(1, 60))
@settings(max_examples=40, deadline=None)
def test_neighbours_are_those_of_a_sort_by_score_then_against_the_query_then_by_column(seed: int, keep: int) -> None:
    scores, relevant = case(seed)
    keep = min(keep, scores.shape[1])
    columns, found = nearest_columns(scores, relevant, keep)
    for row, line in enumerate(scores.tolist()):
        order = sorted(range(len(line)), key=lambda column: (-line[column], bool(relevant[row, column]), column))
        wanted = [column if line[column] > -torch.inf else -1 for column in order[:keep]]
        assert columns[row].tolist() == wanted
        assert found[row].tolist() == [line[column] for column in order[:keep]]


INTERPRETED = """
import torch
from bench.evaluation.ranking.counting import bucket_counts, bucket_counts_in_torch
draw = torch.Generator().manual_seed(0)
for width in (1, 2, 7, 31, 64):
    scores = torch.randint(-9, 10, (3, 1500), generator=draw) / 7 + 0.0
    scores[torch.rand(scores.shape, generator=draw) < 0.1] = -torch.inf
    rising = scores[:, :width].sort(dim=1).values
    for found, wanted in zip(bucket_counts(scores, rising), bucket_counts_in_torch(scores, rising), strict=True):
        assert torch.equal(found, wanted), width
"""


@pytest.mark.skipif(find_spec("triton") is None, reason="needs Triton, which comes with torch on Linux")
def test_tritons_kernel_counts_as_torch_does() -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERPRETED],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(find_spec("triton") is None, reason="needs Triton, which comes with torch on Linux")
def test_tritons_kernel_compiles_for_a_card() -> None:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from bench.evaluation.ranking import counting_kernel

    pointers = {"scores": "*fp32", "rising": "*fp32", "at_most": "*i32", "below": "*i32"}
    numbers = {"columns": "i32", "row_stride": "i32", "width": "i32"}
    fixed = {"steps": 13, "stretch": 1024}
    source = ASTSource(
        fn=counting_kernel.count,
        signature={**pointers, **numbers, **dict.fromkeys(fixed, "constexpr")},
        constexprs=fixed,
    )
    made = triton.compile(source, target=GPUTarget("cuda", 90, 32))
    assert "atom" in made.asm["ptx"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA card")
def test_a_card_counts_as_a_cpu_does() -> None:
    scores, relevant = torch.randn(50, 20_000), torch.rand(50, 20_000) < 0.1
    theirs = scores.masked_fill(~relevant, -torch.inf)
    here, there = count_ranks(scores, theirs), count_ranks(scores.cuda(), theirs.cuda())
    assert torch.equal(here.worst, there.worst.cpu())
    assert torch.equal(here.best, there.best.cpu())
    rising = theirs.sort(dim=1).values
    for one, other in zip(
        bucket_counts_in_torch(scores, rising), bucket_counts_in_torch(scores.cuda(), rising.cuda()), strict=True
    ):
        assert torch.equal(one, other.cpu())
