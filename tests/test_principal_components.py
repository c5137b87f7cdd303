"""Principal components: scikit-learn's, whichever Gram matrix they come from, and no more than the vectors span."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor

from bench import UsageError
from bench.principal_components import fit_components, principal_axes


def spread_out(n: int, d: int) -> Tensor:
    """Return vectors that vary along their coordinates less and less, around a mean that is not 0."""
    return torch.randn(n, d, generator=torch.Generator().manual_seed(0)) * torch.logspace(0, -1, d) + 1


@pytest.mark.parametrize("whiten", [False, True])
@pytest.mark.parametrize(("n", "d"), [(50, 6), (9, 40)], ids=["more vectors", "more dimensions"])
def test_fit_components_projects_as_scikit_learn_does(n: int, d: int, whiten: bool) -> None:
    vectors = spread_out(n, d)
    oracle = PCA(4, whiten=whiten, svd_solver="full").fit(vectors.double().numpy())
    wanted = oracle.transform(vectors.double().numpy())
    found = fit_components(vectors, dims=4, whiten=whiten)(vectors).numpy()
    signs = np.sign((wanted * found).sum(axis=0))
    np.testing.assert_allclose(found * signs, wanted, atol=1e-4)


def test_fit_components_whitens_every_direction_that_the_vectors_span() -> None:
    vectors = torch.randn(12, 30)
    whitened = fit_components(vectors, whiten=True)(vectors)
    assert whitened.shape == (12, 11)
    assert torch.allclose(whitened.var(dim=0), torch.ones(11), atol=1e-3)


def test_fit_components_refuses_more_than_the_vectors_span() -> None:
    with pytest.raises(UsageError, match=r"12 principal components asked for, but the 12 vectors .* span 11 of 30"):
        fit_components(torch.randn(12, 30), dims=12)
    with pytest.raises(UsageError, match="span 0 of 3"):
        fit_components(torch.ones(5, 3), whiten=True)


def test_fit_components_gives_directions_without_variance_where_they_are_asked_for() -> None:
    flat = spread_out(20, 5) * torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0])
    axes = fit_components(flat, dims=5, null=True).axes
    assert axes is not None
    assert torch.allclose(axes @ axes.T, torch.eye(5), atol=1e-5)


def test_principal_axes_of_both_gram_matrices_are_the_same() -> None:
    rows = spread_out(8, 20).double()
    rows -= rows.mean(dim=0)
    (small, few), (large, many) = principal_axes(rows, 5), principal_axes(rows, 5, null=True)
    torch.testing.assert_close(few, many)
    torch.testing.assert_close((small.T @ large).abs(), torch.eye(5, dtype=torch.float64), atol=1e-8, rtol=0)


def test_principal_axes_of_equal_rows_is_one_axis_without_variance() -> None:
    axes, variances = principal_axes(torch.zeros(4, 3), 2)
    assert axes.shape == (3, 1)
    assert variances.tolist() == [0]
