"""What a run keeps: vectors that are no numbers are refused where they are read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from fake_runs import fake_result, fake_spec, record_in, write_beside, write_fake

from bench.contract import DataError
from bench.runs.artifacts import VECTORS, read_vectors


@pytest.mark.parametrize(("value", "word"), [(np.nan, "not finite"), (np.inf, "not finite"), (0.0, "all zero")])
def test_vectors_of_a_run_that_are_no_numbers_are_refused(tmp_path: Path, value: float, word: str) -> None:
    vectors = np.ones((3, 4), np.float32)
    vectors[1] = value
    folder = write_fake(tmp_path, fake_result(fake_spec()))
    write_beside(folder, VECTORS, safetensors.numpy.save({"gallery": vectors}))
    run = record_in(folder)
    with pytest.raises(DataError, match=f"gallery: 1 of 3 rows are {word}, the first is row 1"):
        read_vectors(run)
