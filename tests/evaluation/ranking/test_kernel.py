"""The compiled inner loops give the very bits of their NumPy twins, on healthy scores, planted ties and collapse."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bench.evaluation.ranking import kernel
from bench.evaluation.ranking.arrays import Ints, Scores

pytestmark = pytest.mark.skipif(kernel.NAME != "compiled", reason="simbench was installed without a compiler")

KINDS = ("healthy", "few values", "constant", "collapsed", "huge", "denormal")


def scores_of(kind: str, rows: int, n: int, rng: np.random.Generator) -> Scores:
    values: NDArray[np.floating] = {
        "healthy": rng.standard_normal((rows, n)),
        "few values": rng.integers(-3, 4, (rows, n)) * 1.0,
        "constant": np.full((rows, n), 0.7),
        "collapsed": 1 - rng.integers(0, 5, (rows, n)) * 6e-8,
        "huge": np.clip(rng.standard_normal((rows, n)) * 1e38, -3e38, 3e38),
        "denormal": rng.integers(-3, 4, (rows, n)) * 1e-44,
    }[kind]
    return values.astype(np.float32)


@st.composite
def blocks(draw: st.DrawFn) -> tuple[Scores, Ints, Ints, Ints]:
    """Scores with some items excluded, each row's relevant columns, and where its ranks go."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows, n = draw(st.integers(1, 4)), draw(st.integers(1, draw(st.sampled_from([5, 60, 300, 1_100]))))
    scores = scores_of(draw(st.sampled_from(KINDS)), rows, n, rng)
    scores[rng.random((rows, n)) < draw(st.sampled_from([0.0, 0.01, 0.5]))] = -np.inf
    start = rng.integers(0, n + 1, rows)
    stop = np.minimum(n, start + rng.integers(0, n + 1, rows))
    sizes = [int((scores[i, start[i] : stop[i]] > -np.inf).sum()) for i in range(rows)]
    return scores, start, stop, np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)


@settings(max_examples=80, deadline=None)
@given(blocks())
def test_ranks_and_their_sums_are_the_same(block: tuple[Scores, Ints, Ints, Ints]) -> None:
    ours, theirs = kernel.count_block(*block), kernel.count_block_numpy(*block)
    assert [ranks.tolist() for ranks in ours] == [ranks.tolist() for ranks in theirs]
    for ranks in ours:
        sums = kernel.sum_ranks(ranks, block[-1])
        assert sums.tobytes() == kernel.sum_ranks_numpy(ranks, block[-1]).tobytes()


@settings(max_examples=50, deadline=None)
@given(blocks(), st.sampled_from([1, 7, 50, 10_000]))
def test_nearest_columns_are_the_same(block: tuple[Scores, Ints, Ints, Ints], k: int) -> None:
    scores, start, stop, _ = block
    k = min(k, scores.shape[1])
    ours, theirs = (
        kernel.nearest_columns(scores, start, stop, k),
        kernel.nearest_columns_numpy(scores, start, stop, k),
    )
    assert ours[0].tolist() == theirs[0].tolist()
    assert np.array_equal(ours[1], theirs[1], equal_nan=True)


def test_arguments_that_do_not_fit_are_refused_and_not_read() -> None:
    scores, one = np.zeros((2, 3), np.float32), np.zeros(2, np.int64)
    with pytest.raises(ValueError, match="row 0 asks for columns"):
        kernel.count_block(scores, one, one + 9, np.array([0, 1, 2]))
    with pytest.raises(ValueError, match="contiguous rows"):
        kernel.nearest_columns(np.zeros((3, 2), np.float32).T, one, one, 1)


def test_the_twins_are_used_when_asked_for() -> None:
    code = "from bench.evaluation.ranking import kernel; print(kernel.NAME)"
    environment = {**os.environ, "SIMBENCH_KERNEL": "numpy"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "numpy"
