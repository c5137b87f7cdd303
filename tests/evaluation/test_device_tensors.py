"""Tensors that lie where they are ranked: the scores of arrays, without the vectors going through the host."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from bench import evaluate
from bench.contract import DataError
from bench.evaluation.ranking.device_rows import DeviceRows, equal_rows_there
from bench.evaluation.ranking.vectors import equal_rows

DEVICES = ["cpu:0", *(["cuda"] if torch.cuda.is_available() else [])]


def vectors(n: int, seed: int = 0, *, whole: bool = True) -> Any:
    """With copies and signs of zero; whole numbers, whose products are exact and often equal, or others."""
    rng = np.random.default_rng(seed)
    rows = (rng.integers(-2, 3, (n, 8)) if whole else rng.standard_normal((n, 8))).astype(np.float32)
    rows[:, 0] = np.where(rows.any(axis=1), rows[:, 0], 1)
    rows[n // 2 :] = rows[: n - n // 2]
    return np.where(rows == 0, np.float32(-0.0), rows)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("normalize", [True, False])
def test_tensors_score_as_arrays_do(device: str, normalize: bool) -> None:
    query, gallery = (vectors(n, n, whole=not normalize) for n in (60, 300))
    labels = np.arange(300) % 7
    made: Any = {"query_ids": range(60), "gallery_ids": range(300), "ks": (1, 10), "normalize": normalize}
    arrays = evaluate(query, labels[:60], gallery, labels, **made)
    there = [torch.from_numpy(side).to(device) for side in (query, gallery)]
    found = evaluate(there[0], labels[:60], there[1], labels, device=device, **made)
    assert found.scores.keys() == arrays.scores.keys()
    for name, value in arrays.scores.items():
        assert found.scores[name] == pytest.approx(value, rel=1e-6, nan_ok=True), name
    np.testing.assert_array_equal(found.neighbors, arrays.neighbors)
    for name, interval in arrays.ci95_other_classes.items():
        assert found.ci95_other_classes[name] == pytest.approx(interval, rel=1e-6), name


@pytest.mark.parametrize("device", DEVICES)
def test_the_host_sees_samples_only(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    take = DeviceRows.take

    def counted(self: DeviceRows, index: Any) -> Any:
        found = take(self, index)
        taken.append(len(found))
        return found

    monkeypatch.setattr(DeviceRows, "take", counted)
    draw = torch.Generator().manual_seed(0)
    gallery = torch.randn(9_000, 16, generator=draw).half().to(device)
    labels = np.arange(9_000) % 100
    found = evaluate(gallery[:50], labels[:50], gallery, labels, device=device)
    assert 0 < found.scores["map"] < 1
    assert taken
    assert max(taken) < 9_000 / 2


def test_the_same_tensor_on_both_sides_is_checked_once() -> None:
    there = torch.from_numpy(vectors(40))
    found = evaluate(
        there, np.arange(40) % 4, there, np.arange(40) % 4, query_ids=range(40), gallery_ids=range(40), device="cpu:0"
    )
    assert found.per_query["items"].tolist() == [39] * 40


@pytest.mark.parametrize("seed", range(5))
def test_equal_rows_are_those_that_the_host_finds(seed: int) -> None:
    rows = vectors(50, seed)
    wanted = equal_rows(50, lambda index: rows[index])
    found = equal_rows_there(torch.from_numpy(rows))
    assert dict(zip(*(one.tolist() for one in found), strict=True)) == dict(
        zip(*(one.tolist() for one in wanted), strict=True)
    )


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (torch.ones(3), r"query vectors must have shape \(n, d\), got \(3,\)"),
        (torch.ones(3, 2, dtype=torch.complex64), "query vectors must be real numbers"),
        (torch.ones(0, 2), "query vectors: there is nothing to rank"),
        (torch.tensor([[1.0, 0.0], [0.0, 0.0]]), "query vectors: 1 of 2 rows are all zero, the first is row 1"),
        (torch.tensor([[1.0, float("nan")], [1.0, 0.0]]), "query vectors: 1 of 2 rows are not finite"),
    ],
)
def test_what_cannot_be_ranked_is_refused_in_one_line(rows: torch.Tensor, told: str) -> None:
    with pytest.raises(DataError, match=told):
        evaluate(rows, [0] * len(rows), torch.ones(4, 2), [0] * 4, device="cpu:0")
