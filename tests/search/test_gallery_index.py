"""The file of a folder's vectors: damaged ones and another run's are not taken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from damage import one_bit_flipped

from bench.search.gallery_index import Index, read_index, write_index


@pytest.fixture
def index() -> Index:
    state, vectors = np.arange(6, dtype=np.int64).reshape(2, 3), np.eye(2, 4, dtype=np.float32)
    return Index(["a.png", "b.png"], state, ["", ""], vectors)


@pytest.mark.faults
def test_no_flipped_bit_of_an_index_gives_other_vectors(tmp_path: Path, index: Index) -> None:
    path = tmp_path / "run.safetensors"
    write_index(path, index)
    whole = path.read_bytes()
    for damaged in one_bit_flipped(whole, 3):
        path.write_bytes(damaged)
        found = read_index(path)
        if found is not None:  # a bit of the header that means nothing
            assert (found.names, found.reasons) == (index.names, index.reasons)
            np.testing.assert_array_equal(found.vectors, index.vectors)
            np.testing.assert_array_equal(found.state, index.state)


@pytest.mark.parametrize("name", ["run.safetensors", "run.shards/key/vectors.safetensors"])
def test_an_index_under_the_path_of_another_is_not_taken(
    tmp_path: Path, index: Index, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    path, other = tmp_path / name, tmp_path / name.replace("run", "other").replace("key", "lock")
    write_index(path, index)
    assert read_index(path) is not None
    other.parent.mkdir(parents=True, exist_ok=True)
    other.write_bytes(path.read_bytes())
    assert read_index(other) is None
    assert "another run's" in caplog.text
