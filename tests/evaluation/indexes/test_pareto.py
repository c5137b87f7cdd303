"""The front of many points, against what it is by definition."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bench.evaluation.indexes.sweep import pareto_front

POINT = st.tuples(*[st.integers(1, 5)] * 3)


@given(st.lists(POINT, max_size=14))
def test_the_front_is_every_point_that_no_other_equals_in_all_and_beats_in_one(points: list[tuple[int, ...]]) -> None:
    front = pareto_front(np.array(points, dtype=np.float64).reshape(-1, 3))
    for point, on in zip(points, front, strict=True):
        beaten = any(all(a <= b for a, b in zip(other, point, strict=True)) and other != point for other in points)
        assert on == (not beaten)


def test_equal_points_are_on_the_front_together_and_a_dearer_one_is_not() -> None:
    costs = np.array([[1.0, -0.5], [1.0, -0.5], [2.0, -0.5], [2.0, -0.6]])
    assert pareto_front(costs).tolist() == [True, True, False, True]
    assert pareto_front(costs[:0]).tolist() == []
