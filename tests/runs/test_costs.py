"""A run's costs: columns under their old names, raw samples on disk, pictures as files would be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from bench.contract import Dataset, Images, RunContext, Split
from bench.evaluation.cost.timing import Latency
from bench.evaluation.inference.embed import embed_images
from bench.evaluation.inference.engines import EngineMethod
from bench.evaluation.ranking.arrays import Vectors
from bench.registry import get_protocol
from bench.runs.costs import (
    counted_costs,
    encoded_pictures,
    latency_columns,
    measure_latencies,
    save_latencies,
)
from bench.runs.integrity import FileWriter

CPU = torch.device("cpu")


class Linear:
    def __init__(self) -> None:
        self.layer = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 16))

    def fit(self, train: Split, validation: Split, run: RunContext) -> None:
        return None

    def embed(self, pixels: torch.Tensor) -> torch.Tensor:
        vectors: torch.Tensor = self.layer(pixels)
        return vectors

    def network(self) -> torch.nn.Module:
        return self.layer


@pytest.fixture(scope="module")
def digits() -> Dataset:
    found = load_digits()
    pixels = (found.images * 255 / 16).astype(np.uint8)[..., None]
    part = Split(Images(pixels), found.target.astype(np.int64), np.array([str(row) for row in range(len(pixels))]))
    names = tuple("0123456789")
    return Dataset("digits", get_protocol("loo"), names, part, part, part, part, mirror=False, fingerprint="")


@pytest.fixture(scope="module")
def vectors(digits: Dataset) -> Vectors:
    return embed_images(Linear(), digits.gallery.images, device=CPU)


@pytest.fixture(scope="module")
def latencies(digits: Dataset, vectors: Vectors) -> list[Latency]:
    return measure_latencies(Linear(), digits, vectors, vectors, device=CPU, threads=1)


NAMES = {
    *(f"{what}_{n}" for what in ("decode", "preprocess", "embed", "search", "end_to_end") for n in (1, 64)),
    "index_build",
}


def test_every_stage_is_saved_with_all_its_samples(latencies: list[Latency], tmp_path: Path) -> None:
    save_latencies(FileWriter(tmp_path), latencies)
    with np.load(tmp_path / "latency.npz") as kept:
        assert set(kept.files) == NAMES
        assert all(kept[name].dtype == np.int64 for name in NAMES)
        assert kept["embed_1"].tolist() == list(
            next(one.samples_ns for one in latencies if (one.what, one.batch) == ("embed", 1))
        )


def test_columns_keep_their_names(latencies: list[Latency]) -> None:
    columns = latency_columns(latencies)
    old = {f"{name}_{kind}" for name in ("embed_1", "embed_64", "search") for kind in ("median_ms", "per_second")}
    assert old | {"embed_1_p95_ms", "search_p95_ms", "embed_1_p99_ms", "index_build_median_ms"} <= set(columns)
    assert {f"{'search' if name == 'search_1' else name}_median_ms" for name in NAMES} <= set(columns)
    assert all(value > 0 for value in columns.values())


def test_end_to_end_holds_all_of_its_parts(latencies: list[Latency]) -> None:
    fastest = {(one.what, one.batch): min(one.samples_ns) for one in latencies}
    parts = ("decode", "preprocess", "embed", "search")
    for batch in (1, 64):
        assert fastest["end_to_end", batch] > 0.5 * sum(fastest[part, batch] for part in parts)


@pytest.mark.parametrize(("samples", "told"), [(19, set()), (20, {"p95"}), (99, {"p95"}), (100, {"p95", "p99"})])
def test_a_percentile_is_told_from_samples_enough(samples: int, told: set[str]) -> None:
    columns = latency_columns([Latency("embed", 1, 1, "cpu", tuple(range(1, samples + 1)))])
    assert set(columns) == {"embed_1_median_ms", "embed_1_per_second", *(f"embed_1_{one}_ms" for one in told)}


def test_what_is_counted_stands_beside(digits: Dataset) -> None:
    method = Linear()
    found = counted_costs(method, EngineMethod(method, method.embed), digits, 16, device=CPU, threads=1)
    assert found.flops == 2 * 64 * 16, "the engine's method has no network; the method itself has"
    assert (found.embedding_dim, found.bytes_per_vector) == (16, 64)


def test_images_without_files_are_made_into_some_that_decode_to_the_same_pixels(digits: Dataset) -> None:
    pictures = encoded_pictures(digits.query.images)
    assert len(pictures.encoded) == 16
    assert all(one.startswith(b"\x89PNG") for one in pictures.encoded)
    np.testing.assert_array_equal(pictures.pixels(pictures.encoded), digits.query.images.take(np.arange(16)))
