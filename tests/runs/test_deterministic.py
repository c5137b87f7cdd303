"""``--deterministic``: the same bits on any number of threads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fake_runs import fake_spec

from bench.runs.fitting import same_bits
from bench.session import run


def test_a_deterministic_run_has_the_same_vectors_on_one_thread_and_on_two(tmp_path: Path) -> None:
    made = [
        run(
            "triplet",
            "digits",
            options={"encoder": "simplecnn", "embedding_dim": 16},
            limit=120,
            epochs=0.1,
            threads=threads,
            deterministic=True,
            runs=str(tmp_path / str(threads)),
        )
        for threads in (1, 2)
    ]
    vectors = [(record.folder / "embeddings.safetensors").read_bytes() for record in made]
    assert vectors[0] == vectors[1]
    assert {record.result.key for record in made} == {made[0].result.key}
    assert {record.result.provenance.threads for record in made} == {1}
    assert not torch.are_deterministic_algorithms_enabled(), "what is set for a run ends with it"


def test_deterministic_is_part_of_the_key_and_leaves_that_of_other_runs_as_it_was() -> None:
    spec = fake_spec()
    assert replace(spec, deterministic=True).key != spec.key == replace(spec, deterministic=False).key


def test_settings_of_torch_come_back_whatever_is_raised() -> None:
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with pytest.raises(ValueError, match="stop"):
            _raise_inside()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


def _raise_inside() -> None:
    with same_bits():
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.is_deterministic_algorithms_warn_only_enabled()
        raise ValueError("stop")
