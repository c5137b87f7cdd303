"""Indexes: what they find, what they store, and which of their settings are understood."""

from __future__ import annotations

import faiss
import numpy as np
import pytest
from sklearn.datasets import load_digits

from bench.contract import DataError, UsageError
from bench.evaluation.indexes.recipes import REFINE, Index, IndexRecipe, build, families, recipes
from bench.evaluation.ranking.arrays import Vectors
from bench.evaluation.reranking.embedded import unit_or_zero


@pytest.fixture(scope="module")
def digits() -> Vectors:
    return unit_or_zero(load_digits(return_X_y=True)[0].astype(np.float32))[:400]


def share_found(index: Index, vectors: Vectors, k: int = 10) -> float:
    exact = np.argsort(-(vectors[:100].astype(np.float64) @ vectors.T), axis=1, kind="stable")[:, :k]
    _, items = index.search(vectors[:100], k)
    return float(np.mean([len(set(one) & set(other)) / k for one, other in zip(items, exact, strict=True)]))


@pytest.mark.parametrize("recipe", recipes(400, 64, 10), ids=lambda recipe: recipe.factory)
def test_every_recipe_is_built_and_searched_with_every_setting(digits: Vectors, recipe: IndexRecipe) -> None:
    """The last setting looks longest, and refining makes up for most of what a coarse code loses."""
    index = build(recipe, digits)
    found = []
    for setting in recipe.settings:
        index.set(setting)
        similarities, items = index.search(digits[:5], 10)
        assert items.shape == similarities.shape == (5, 10)
        assert (np.diff(similarities, axis=1) <= 0).all()
        found.append(share_found(index, digits))
    assert found[-1] >= found[0] - 0.02
    fewest = {"flat": 1.0, "fp16": 0.98, "int8": 0.93, "hnsw": 0.93, "nsg": 0.93, "ivf": 0.85}
    assert found[-1] >= fewest.get(recipe.family, 0.7 if recipe.refined else 0.4)
    assert index.build_seconds > 0


def test_stored_bytes_are_those_of_the_file(digits: Vectors) -> None:
    n, d = digits.shape
    plain, half = build(IndexRecipe("flat", "Flat"), digits), build(IndexRecipe("fp16", "SQfp16"), digits)
    assert plain.stored_bytes == pytest.approx(n * d * 4, abs=200)
    assert half.stored_bytes == pytest.approx(n * d * 2, abs=200)
    refined = build(IndexRecipe("int8", "SQ8" + REFINE), digits)
    assert refined.stored_bytes == pytest.approx(n * d * 3, abs=1_000)
    lists = build(IndexRecipe("ivf", "IVF20,Flat"), digits)
    assert lists.stored_bytes == pytest.approx(n * (d * 4 + 8) + 20 * d * 4, abs=1_000)


def test_settings_reach_the_part_of_the_index_that_reads_them(digits: Vectors) -> None:
    index = build(IndexRecipe("rabitq", "RR64,IVF20,RaBitQ" + REFINE), digits)
    index.set({"nprobe": 7, "k_factor": 3})
    assert index.index.k_factor == 3
    assert faiss.extract_index_ivf(faiss.downcast_index(index.index.base_index)).nprobe == 7
    with pytest.raises(UsageError, match="no search parameter 'efSearch'"):
        index.set({"efSearch": 16})


def test_each_lossy_code_has_a_refined_twin() -> None:
    found = [one.factory for one in recipes(20_000, 128, 10)]
    assert len(set(found)) == len(found)
    assert {one.family for one in recipes(20_000, 128, 10)} == set(families())
    lossless = {"Flat", "SQfp16"}
    for factory in found:
        if not factory.endswith(REFINE) and factory.split(",")[-1] not in lossless:
            assert factory + REFINE in found


def test_codes_and_lists_fit_the_number_of_vectors() -> None:
    def factories(n: int, d: int, *only: str) -> list[str]:
        return [one.factory for one in recipes(n, d, 10, only) if not one.refined]

    assert factories(10_000, 128, "pq") == ["PQ32x8np", "PQ16x8np"]
    assert factories(5_000, 128, "pq") == ["PQ64x4np", "PQ32x4np"]
    assert factories(10, 128, "pq") == []
    assert factories(100, 128, "nsg") == []
    assert factories(101, 128, "nsg")
    assert factories(10_000, 7, "pq") == ["PQ1x8np"]
    assert factories(60_000, 64, "ivf")[0] == "IVF980,Flat"
    assert factories(1_000, 64, "ivf")[0] == "IVF25,Flat"
    assert recipes(30, 8, 5, ["ivf"])[0].settings == ({"nprobe": 1},)


def test_mistakes_are_told(digits: Vectors) -> None:
    with pytest.raises(UsageError, match="did you mean 'hnsw'"):
        recipes(100, 8, 5, ["hsnw"])
    with pytest.raises(DataError, match="faiss cannot build IVF900,Flat of 400 vectors of 64 dimensions"):
        build(IndexRecipe("ivf", "IVF900,Flat"), digits)
