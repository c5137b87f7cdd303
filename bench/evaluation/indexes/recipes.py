"""Approximate search: faiss indexes as recipes, built and searched with what each of them costs."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import faiss

from bench.contract import DataError, UsageError
from bench.evaluation.ranking.arrays import Ints, Scores, Vectors
from bench.naming import canonical
from bench.plugins import INDEX, index
from bench.registry import find_plugins, get_plugin, require_known

_NSG_NEEDS = 100  # vectors; with no more faiss builds no such graph
_PER_CENTROID = 39  # training vectors that faiss asks for, below which its k-means warns
REFINE = ",Refine(SQfp16)"  # a second, near-exact look at the best: 2 bytes a dimension more
_FACTOR = 4  # so many times k are looked at again


@dataclass(frozen=True)
class IndexRecipe:
    """How to build one index and how to search it.

    Attributes:
        family: What it is listed under.
        factory: faiss's own description of the index.
        settings: Search parameters by their names in faiss, one mapping a point of the sweep.

    Example:
        >>> IndexRecipe("hnsw", "HNSW32,Flat", ({"efSearch": 16}, {"efSearch": 128})).refined
        False
    """

    family: str
    factory: str
    settings: tuple[Mapping[str, int], ...] = ({},)

    @property
    def refined(self) -> bool:
        """Whether the best ``k_factor * k`` are compared again by their float16 vectors."""
        return self.factory.endswith(REFINE)


@dataclass(frozen=True)
class Index:
    """A recipe carried out on a gallery.

    build_seconds: training and adding, wall clock; stored_bytes: of the whole index as faiss writes it to a file:
    codes, links, lists of ids, and what is stored once (centroids, codebooks, rotations).
    """

    recipe: IndexRecipe
    index: Any
    build_seconds: float
    stored_bytes: int

    def set(self, parameters: Mapping[str, int]) -> None:
        """Use these search parameters from now on. Raises UsageError for one that the index does not have."""
        for name, value in parameters.items():
            part, attribute = _owner(self.index, name)
            setattr(part, attribute, value)

    def search(self, queries: Vectors, k: int) -> tuple[Scores, Ints]:
        """Return similarities float32 and positions int64 ``(q, k)``, best first, -1 where nothing more was found."""
        similarities, items = self.index.search(queries, k)
        return similarities, items


def build(recipe: IndexRecipe, gallery: Vectors) -> Index:
    """Train and fill an index with vectors, float32 ``(n, d)``; the similarity is the inner product.

    It learns from the gallery's vectors, without labels, as an index in use does. Raises DataError where faiss cannot.
    """
    start = time.perf_counter()
    try:
        index = faiss.index_factory(gallery.shape[1], recipe.factory, faiss.METRIC_INNER_PRODUCT)
        index.train(gallery)
        index.add(gallery)
    except RuntimeError as error:
        raise DataError(
            f"faiss cannot build {recipe.factory} of {len(gallery)} vectors of {gallery.shape[1]} dimensions: "
            f"{str(error).splitlines()[-1]}"
        ) from error
    seconds = time.perf_counter() - start
    return Index(recipe, index, seconds, len(faiss.serialize_index(index)))


def families() -> list[str]:
    """Return the names of all families, simbench's own first."""
    return list(find_plugins(INDEX))


def recipes(n: int, d: int, k: int, only: Sequence[str] = ()) -> tuple[IndexRecipe, ...]:
    """Return the recipes for n vectors of d dimensions, searched for k items; those of some families, or of all.

    Raises UsageError for an unknown family.
    """
    wanted = [canonical(name) for name in only]
    for name in wanted:
        require_known(INDEX, name)
    return tuple(
        replace(one, family=name)
        for name in families()
        if not only or name in wanted
        for one in get_plugin(INDEX, name)(n, d, k)
    )


@index
def flat(n: int, d: int, k: int) -> list[IndexRecipe]:
    """Exact search of float32 vectors."""
    return [IndexRecipe("flat", "Flat")]


@index
def fp16(n: int, d: int, k: int) -> list[IndexRecipe]:
    """Exact search of float16 vectors."""
    return [IndexRecipe("fp16", "SQfp16")]


@index
def int8(n: int, d: int, k: int) -> list[IndexRecipe]:
    """One byte a dimension."""
    return _both("int8", "SQ8")


@index
def hnsw(n: int, d: int, k: int) -> list[IndexRecipe]:
    """A navigable small-world graph in layers (Malkov and Yashunin 2018)."""
    return [
        IndexRecipe("hnsw", "HNSW32,Flat", _beam("efSearch", k)),
        *_both("hnsw", "HNSW16,SQ8", _beam("efSearch", k)),
    ]


@index
def nsg(n: int, d: int, k: int) -> list[IndexRecipe]:
    """A navigating spreading-out graph (Fu et al. 2019)."""
    if n <= _NSG_NEEDS:
        return []
    return [IndexRecipe("nsg", "NSG32,Flat", _beam("search_L", k)), *_both("nsg", "NSG16,SQ8", _beam("search_L", k))]


@index
def ivf(n: int, d: int, k: int) -> list[IndexRecipe]:
    """Inverted lists: only the lists of the nearest centroids are searched."""
    lists, probes = _lists(n)
    return [IndexRecipe("ivf", f"{lists},Flat", probes), *_both("ivf", f"{lists},SQ8", probes)]


@index
def pq(n: int, d: int, k: int) -> list[IndexRecipe]:
    """A product quantiser: a few bits for each part of a vector (Jegou, Douze and Schmid 2011)."""
    return [one for code in _product_codes(n, d) for one in _both("pq", code)]


@index
def ivfpq(n: int, d: int, k: int) -> list[IndexRecipe]:
    """Product codes in inverted lists."""
    lists, probes = _lists(n)
    return [one for code in _product_codes(n, d)[:1] for one in _both("ivfpq", f"{lists},{code}", probes)]


@index
def rabitq(n: int, d: int, k: int) -> list[IndexRecipe]:
    """One to four bits a dimension after a random rotation (Gao and Long 2024)."""
    lists, probes = _lists(n)
    plain = [*_both("rabitq", f"RR{d},RaBitQ"), *_both("rabitq", f"RR{d},RaBitQ4")]
    return [*plain, *_both("rabitq", f"RR{d},{lists},RaBitQ", probes)]


def _lists(n: int) -> tuple[str, tuple[Mapping[str, int], ...]]:
    """Return inverted lists, 4 sqrt(n) with vectors enough for each (faiss's guidelines), and how many to probe."""
    lists = max(1, min(round(4 * math.sqrt(n)), n // _PER_CENTROID))
    return f"IVF{lists}", _sweep("nprobe", [probes for probes in (1, 4, 16) if probes <= lists])


def _beam(name: str, k: int) -> tuple[Mapping[str, int], ...]:
    """Return how wide a graph is searched: hardly more than k items, and more."""
    return _sweep(name, (max(k + 1, 16), 32 + k, 128))


def _product_codes(n: int, d: int) -> list[str]:
    """Return product quantisers of d/4 and d/8 bytes, as far as d divides; none for fewer than 16 vectors.

    Codes have 8 bits where there are vectors enough to train 256 centroids, else 4.
    np: without polysemous training, which takes faiss a minute and changes the numbering of the codes only.
    """
    bits = 8 if n >= 256 * _PER_CENTROID else 4
    parts = [d // 4, d // 8] if bits == 8 else [d // 2, d // 4]
    return [f"PQ{m}x{bits}np" for m in parts if m > 0 and d % m == 0 and n >= 2**bits]


def _both(family: str, factory: str, settings: Sequence[Mapping[str, int]] = ({},)) -> list[IndexRecipe]:
    """Return a recipe alone, and refined with each setting."""
    refined = tuple({**one, "k_factor": _FACTOR} for one in settings)
    return [IndexRecipe(family, factory, tuple(settings)), IndexRecipe(family, factory + REFINE, refined)]


def _sweep(name: str, values: Sequence[int]) -> tuple[Mapping[str, int], ...]:
    return tuple({name: value} for value in dict.fromkeys(values))


def _owner(index: Any, name: str) -> tuple[Any, str]:
    """Return the part of a nested index that has a search parameter, and what it is called there."""
    part = faiss.downcast_index(index)
    if isinstance(part, faiss.IndexRefine) and name != "k_factor":
        return _owner(part.base_index, name)
    if isinstance(part, faiss.IndexPreTransform):
        return _owner(part.index, name)
    inner = {"efSearch": "hnsw", "search_L": "nsg"}.get(name)
    part = getattr(part, inner, part) if inner else part
    if not hasattr(part, name):
        raise UsageError(f"{type(part).__name__} has no search parameter {name!r}")
    return part, name
