"""Vectors matched to a data set by their ids: in any file and order, and nothing wrong passes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from bench.config import Settings
from bench.contract import Collection, DataError, Images, Split, UsageError, Workplace, no_progress
from bench.data.splits.protocols import build_dataset
from bench.runs.given_vectors import UNKNOWN_ORIGIN, GivenVectors, score_given
from bench.runs.store import RunRecord, all_runs

IDS = [f"{name}/{number}" for name in ("train", "val", "test") for number in range(24)]
VECTORS = np.random.default_rng(0).standard_normal((len(IDS), 5)).astype(np.float32)
CLASSES = ("a", "b", "c")


def collection() -> Collection:
    pixels = np.random.default_rng(1).integers(0, 256, (len(IDS), 4, 4, 1), dtype=np.uint8)
    labels = np.arange(len(IDS), dtype=np.int64) % 3
    parts = [Split(Images(pixels[rows]), labels[rows], np.array(IDS)[rows]) for rows in np.split(np.arange(72), 3)]
    return Collection("pictures", CLASSES, parts[0], parts[1], parts[2])


def given(path: Path, vectors: np.ndarray[tuple[int, ...], np.dtype[np.float32]], ids: list[str]) -> GivenVectors:
    np.savez(path, v=vectors, id=np.array(ids))
    return GivenVectors.read(str(path))


def scored(vectors: GivenVectors, root: Path, protocol: str = "loo") -> RunRecord:
    import torch

    place = Workplace(root, torch.device("cpu"), 1, no_progress, lambda line: None)
    settings = Settings(protocol=protocol)
    own = collection()
    (record,) = score_given(vectors, "ours", own, [(build_dataset(own, protocol), settings)], place)
    assert record.status == "done", record.result.reason
    return record


def test_each_kind_of_file_and_any_order_is_the_same_run(tmp_path: Path) -> None:
    parquet, arrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    back = np.arange(len(IDS))[::-1]
    np.savez(tmp_path / "a.npz", v=VECTORS[back], id=np.array(IDS)[back])
    np.save(tmp_path / "b.npy", VECTORS)
    (tmp_path / "b.csv").write_text("id,label\n" + "".join(f"{name},x\n" for name in IDS), "utf-8")
    np.save(tmp_path / "c.npy", VECTORS)
    (tmp_path / "list.txt").write_text("\n".join(IDS), "utf-8")
    save_file({"v": VECTORS}, tmp_path / "d.safetensors", metadata={"ids": json.dumps(IDS)})
    parquet.write_table(arrow.table({"label": IDS[::-1], "id": IDS, "v": VECTORS.tolist()}), tmp_path / "e.parquet")
    found = [
        GivenVectors.read(str(tmp_path / name), ids)
        for name, ids in (
            ("a.npz", None),
            ("b.npy", None),
            ("c.npy", str(tmp_path / "list.txt")),
            ("d.safetensors", None),
            ("e.parquet", None),
        )
    ]
    assert len({one.digest for one in found}) == 1
    assert scored(found[0], tmp_path / "runs").result.key == scored(found[1], tmp_path / "runs").result.key
    assert len(all_runs(tmp_path / "runs")) == 1


def test_the_key_changes_with_one_number_of_one_vector(tmp_path: Path) -> None:
    other = VECTORS.copy()
    other[70, 2] += 1e-3
    keys = {scored(given(tmp_path / "v.npz", one, IDS), tmp_path / "runs").result.key for one in (VECTORS, other)}
    assert len(keys) == 2


def test_a_run_of_vectors_says_what_it_is(tmp_path: Path) -> None:
    result = scored(given(tmp_path / "v.npz", VECTORS, IDS), tmp_path).result
    assert result.spec.given_vectors
    assert UNKNOWN_ORIGIN in result.flags
    assert result.thresholds is not None
    assert (result.costs.embedding_dim, result.costs.flops) == (5, None) if result.costs else False
    assert set(result.timings) == {"evaluate_seconds", "control_seconds"}


def test_each_query_has_its_own_vector(tmp_path: Path) -> None:
    labels = np.arange(72) % 3
    clear = np.eye(3, dtype=np.float32)[labels] + 0.01 * VECTORS[:, :3]
    order = np.random.default_rng(2).permutation(72)
    for protocol in ("loo", "holdout", "database"):
        found = given(tmp_path / "v.npz", clear[order], [IDS[row] for row in order])
        assert scored(found, tmp_path / protocol, protocol).result.scores["map"] == 1


def test_what_is_missing_unknown_or_double_is_counted_and_named(tmp_path: Path) -> None:
    path = tmp_path / "v.npz"
    with pytest.raises(DataError, match=r"2 of 72 ids \(the first 'train/0'\) are there more than once"):
        given(path, VECTORS, ["train/0", "train/0", "train/2", "train/2", *IDS[4:]])
    with pytest.raises(DataError, match=r"1 of 24 ids of queries and gallery \(the first 'test/5'\) is without a vec"):
        scored(given(path, np.delete(VECTORS, 53, 0), [name for name in IDS if name != "test/5"]), tmp_path / "runs")
    with pytest.raises(DataError, match=r"24 of 24 .* 72 of 72 ids of the file \(the first 'x/train/0'\) are in no pa"):
        scored(given(path, VECTORS, [f"x/{name}" for name in IDS]), tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_unknown_ids_are_left_out_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    more = given(tmp_path / "v.npz", np.concatenate([VECTORS, VECTORS[:2]]), [*IDS, "old/1", "old/2"])
    scored(more, tmp_path)
    assert "2 of 74 ids (the first 'old/1') are in no part of pictures, and left out" in caplog.text


def test_without_some_vectors_of_validation_there_are_no_thresholds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = [row for row, name in enumerate(IDS) if name != "val/3"]
    result = scored(given(tmp_path / "v.npz", VECTORS[kept], [IDS[row] for row in kept]), tmp_path).result
    assert result.thresholds is None
    assert "1 of 24 ids of validation (the first 'val/3') is without a vector" in caplog.text


@pytest.mark.parametrize(
    ("value", "said"), [(np.nan, "not finite, the first is row 7"), (0.0, "all zero, the first is row 7")]
)
def test_vectors_that_cannot_be_ranked_are_refused(tmp_path: Path, value: float, said: str) -> None:
    wrong = VECTORS.copy()
    wrong[7] = value
    with pytest.raises(DataError, match=said):
        given(tmp_path / "v.npz", wrong, IDS)


def test_as_many_ids_as_vectors_and_vectors_of_one_dimension(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="72 vectors, but 9 ids"):
        given(tmp_path / "v.npz", VECTORS, IDS[:9])
    np.save(tmp_path / "v.npy", VECTORS[None])
    (tmp_path / "v.txt").write_text("\n".join(IDS), "utf-8")
    with pytest.raises(DataError, match="must have shape"):
        GivenVectors.read(str(tmp_path / "v.npy"))


def test_metadata_that_lists_no_names_is_refused(tmp_path: Path) -> None:
    save_file({"v": VECTORS}, tmp_path / "v.safetensors", metadata={"ids": "{}"})
    with pytest.raises(DataError, match="must be a JSON list of texts"):
        GivenVectors.read(str(tmp_path / "v.safetensors"))
    save_file({"v": VECTORS}, tmp_path / "w.safetensors")
    with pytest.raises(UsageError, match=r"no ids in it, and no w\.csv and no w\.txt"):
        GivenVectors.read(str(tmp_path / "w.safetensors"))


def test_numbers_and_decomposed_letters_are_names_too(tmp_path: Path) -> None:
    np.savez(tmp_path / "v.npz", v=VECTORS[:3], id=np.array([3, 1, 2]))
    assert GivenVectors.read(str(tmp_path / "v.npz")).ids == ("3", "1", "2")
    found = given(tmp_path / "w.npz", VECTORS[:1], ["u\u0308"])
    assert found.missing(["\u00fc"]) == found.missing(["u\u0308"]) == []
