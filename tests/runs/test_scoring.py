"""Where the vectors of a run are ranked."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from bench.runs import scoring


class Asked(Exception):
    """Raised in place of an evaluation; its argument is the device that was asked for."""


@pytest.mark.parametrize(
    ("device", "ranks_on"), [("cuda:1", "cuda:1"), ("cuda", "cuda"), ("mps", "cpu"), ("cpu", "cpu")]
)
def test_a_run_is_ranked_where_it_ran_if_that_is_cuda(
    monkeypatch: pytest.MonkeyPatch, device: str, ranks_on: str
) -> None:
    def evaluate_set(*_: object, device: str, **__: object) -> None:
        raise Asked(device)

    monkeypatch.setattr(scoring, "evaluate_set", evaluate_set)
    monkeypatch.setattr(scoring, "ranked_parts", lambda *_: None)
    dataset = SimpleNamespace(query=None, gallery=None, metrics=())
    run: Any = SimpleNamespace(
        dataset=dataset,
        seed=0,
        spec=SimpleNamespace(ks=(1,), metrics=(), ties="pessimistic"),
        place=SimpleNamespace(threads=1, device=torch.device(device)),
        timer=SimpleNamespace(stage=lambda _: nullcontext()),
    )
    checked: Any = None
    vectors = scoring.SetVectors(np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32), None)
    with pytest.raises(Asked, match=f"^{ranks_on}$"):
        scoring.score_vectors(run, vectors, checked)
