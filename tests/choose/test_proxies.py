"""Proxies against values worked out by hand, and what following them would have cost on runs of digits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_runs import write_beside
from numpy.typing import NDArray
from safetensors.numpy import save
from scipy.stats import skew
from sklearn.neighbors import NearestNeighbors

from bench.choose.foretelling import CHANCE, PRIOR, foretold
from bench.choose.proxies import PROXIES, Sample, agreement, effective_rank, evenness, few_labels
from bench.evaluation.ranking.arrays import Vectors
from bench.report.tables.frame import runs_frame
from bench.report.tables.groups import tables_of
from bench.runs.store import all_runs


def unit(rows: NDArray[Any]) -> Vectors:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def drawn(n: int = 60, d: int = 5, seed: int = 0) -> Sample:
    rng = np.random.default_rng(seed)
    return Sample.of(unit(rng.standard_normal((n, d))), np.arange(n) % 4)


def test_effective_rank_counts_directions_that_are_used_alike() -> None:
    axes = Sample.of(unit(np.tile(np.eye(6)[:4], (5, 1))), np.arange(20) % 4)
    assert effective_rank(axes) == pytest.approx(4, abs=1e-6)
    wide = drawn(n=8, d=30)  # fewer images than dimensions
    values = np.linalg.svd(wide.vectors.astype(np.float64), compute_uv=False)
    shares = values / values.sum()
    assert effective_rank(wide) == pytest.approx(float(np.exp(-(shares * np.log(shares)).sum())))


def test_nearest_others_and_hubs_are_those_of_scikit_learn_and_scipy() -> None:
    sample = drawn()
    found = NearestNeighbors(n_neighbors=11, metric="cosine").fit(sample.vectors).kneighbors(sample.vectors)[1][:, 1:]
    assert (sample.nearest == found).all()
    assert evenness(sample) == pytest.approx(-skew(np.bincount(found.ravel(), minlength=60)))


def test_agreement_is_the_share_of_neighbours_in_common() -> None:
    one, same, other = drawn(), drawn(), drawn(seed=1)
    assert agreement(one, [same]) == 1
    naive = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(one.nearest, other.nearest, strict=True)])
    assert agreement(one, [other]) == pytest.approx(naive)
    assert agreement(one, [same, other]) == pytest.approx((1 + naive) / 2)
    assert np.isnan(agreement(one, []))


def test_few_labels_are_right_where_classes_lie_apart_and_chance_where_they_do_not() -> None:
    labels = np.arange(40) % 4
    apart = Sample.of(unit(np.eye(4)[labels] + 1e-3 * np.random.default_rng(0).standard_normal((40, 4))), labels)
    assert few_labels(apart, 2) == few_labels(apart, 5) == 1
    assert np.isnan(few_labels(apart, 11))
    alone = Sample.of(apart.vectors, np.arange(40))
    assert np.isnan(few_labels(alone, 2))


def test_at_most_two_thousand_images_are_looked_at() -> None:
    assert len(drawn(n=2_500).vectors) == 2_000


@pytest.fixture
def tables(tmp_path: Path, write_run: Callable[..., Path], ways: dict[str, NDArray[Any]]) -> list[Any]:
    """Two data sets, alike but for their names, on which the first three methods keep their order."""
    for dataset in ("one", "other"):
        for method, way in zip(("triplet", "pretrained", "pixels"), ("centred", "ten", "three"), strict=True):
            folder = write_run(tmp_path, method, ways[way], dataset=dataset)
            write_beside(folder, "embeddings.safetensors", save({"gallery": unit(ways[way])}))
    records = all_runs(tmp_path)
    return tables_of(records, runs_frame(records))


def test_what_follows_the_truth_loses_nothing_and_chance_loses_the_mean(tables: list[Any]) -> None:
    found, titles = foretold(tables)
    by_name = {one.name: one for one in found}
    assert len(titles) == 2
    assert set(by_name) == {*PROXIES, PRIOR, CHANCE}
    scores = [row.score for row in tables[0].rows]
    assert by_name[PRIOR].regret.tolist() == [0, 0]
    assert by_name[PRIOR].correlation.tolist() == pytest.approx([1, 1])
    assert by_name["five labels a class"].regret.tolist() == [0, 0]
    assert by_name[CHANCE].regret[0] == pytest.approx(max(scores) - np.mean(scores))
    regrets = [float(np.nanmean(one.regret)) for one in found]
    assert regrets == sorted(regrets)


def test_tables_without_vectors_or_with_two_rows_do_not_count(
    tmp_path: Path, write_run: Callable[..., Path], ways: dict[str, NDArray[Any]]
) -> None:
    for method in ("triplet", "pixels"):
        write_run(tmp_path, method, ways["ten"])
    records = all_runs(tmp_path)
    assert foretold(tables_of(records, runs_frame(records))) == ([], [])
