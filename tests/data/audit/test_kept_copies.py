"""Copies kept in the cache: damaged ones and another data set's are looked for again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from damage import one_bit_flipped

from bench.data.audit.duplicates import Copies, load_copies, save_copies


@pytest.mark.faults
def test_no_flipped_bit_of_kept_copies_and_no_other_name_is_taken(tmp_path: Path) -> None:
    ends = np.arange(3, dtype=np.int64)
    copies = Copies(np.arange(9, dtype=np.int64), ends, ends + 4, np.array([True, False, True]))
    path = tmp_path / "data.npz"
    save_copies(path, copies)
    whole = path.read_bytes()
    assert load_copies(path) is not None
    (tmp_path / "other.npz").write_bytes(whole)
    assert load_copies(tmp_path / "other.npz") is None
    for damaged in one_bit_flipped(whole, 17):
        path.write_bytes(damaged)
        found = load_copies(path)
        if found is not None:  # a bit of the archive that means nothing
            for name in ("group", "first", "second", "mirrored"):
                np.testing.assert_array_equal(getattr(found, name), getattr(copies, name))
