"""Means over the queries of each class, by hand."""

from __future__ import annotations

import numpy as np

from bench.evaluation.statistics.means import class_means, macro_means


def test_macro_is_the_mean_of_class_means_and_skips_classes_without_a_value() -> None:
    values = {"x": np.array([1.0, 1.0, 1.0, 0.0, np.nan]), "none": np.full(5, np.nan)}
    means = macro_means(values, np.array([3, 3, 3, 7, 9]))
    assert means["x"] == 0.5
    assert np.isnan(means["none"])


def test_class_means_leave_out_what_has_no_value() -> None:
    found = class_means(np.array([1.0, 3.0, np.nan, np.nan]), np.array([4, 4, 4, 9]))
    np.testing.assert_array_equal(found, [2.0, np.nan])
