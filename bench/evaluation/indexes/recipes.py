"""Approximate search: faiss indexes as recipes, built and searched with what each of them costs."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import faiss

from bench.contract import DataError, UsageError
from bench.evaluation.ranking.arrays import Ints, Scores, Vectors
from bench.naming import did_you_mean

FAMILIES = ("flat", "fp16", "int8", "hnsw", "nsg", "ivf", "pq", "ivfpq", "rabitq")
_NSG_NEEDS = 100  # vectors; with no more faiss builds no such graph
_PER_CENTROID = 39  # training vectors that faiss asks for, below which its k-means warns
REFINE = ",Refine(SQfp16)"  # a second, near-exact look at the best: 2 bytes a dimension more
_FACTOR = 4  # so many times k are looked at again


@dataclass(frozen=True)
class IndexRecipe:
    """How to build one index and how to search it.

    family: one of ``FAMILIES``; factory: faiss's own description of the index; settings: search parameters by their
    names in faiss, one mapping a point of the sweep.
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


def recipes(n: int, d: int, k: int, only: Sequence[str] = ()) -> tuple[IndexRecipe, ...]:
    """Return the recipes for n vectors of d dimensions, searched for k items; those of some families, or of all.

    Each lossy code comes alone and refined. Product quantisers have 8-bit codes where there are vectors enough to
    train 256 centroids, else 4-bit ones; the number of inverted lists follows 4 sqrt(n), with vectors enough for each
    (Jegou, Douze and Schmid 2011; faiss's guidelines). Raises UsageError for an unknown family.
    """
    for family in only:
        if family not in FAMILIES:
            raise UsageError(f"unknown index {family!r}{did_you_mean(family, FAMILIES)} (known: {', '.join(FAMILIES)})")
    lists = max(1, min(round(4 * math.sqrt(n)), n // _PER_CENTROID))
    ivf, probes = f"IVF{lists}", _sweep("nprobe", [p for p in (1, 4, 16) if p <= lists])
    beam = _sweep("efSearch", (max(k + 1, 16), 32 + k, 128))
    depth = _sweep("search_L", (max(k + 1, 16), 32 + k, 128))
    found = [
        IndexRecipe("flat", "Flat"),
        IndexRecipe("fp16", "SQfp16"),
        *_both("int8", "SQ8"),
        IndexRecipe("hnsw", "HNSW32,Flat", beam),
        *_both("hnsw", "HNSW16,SQ8", beam),
        *([IndexRecipe("nsg", "NSG32,Flat", depth), *_both("nsg", "NSG16,SQ8", depth)] if n > _NSG_NEEDS else []),
        IndexRecipe("ivf", f"{ivf},Flat", probes),
        *_both("ivf", f"{ivf},SQ8", probes),
        *(one for code in _product_codes(n, d) for one in _both("pq", code)),
        *(one for code in _product_codes(n, d)[:1] for one in _both("ivfpq", f"{ivf},{code}", probes)),
        *_both("rabitq", f"RR{d},RaBitQ"),
        *_both("rabitq", f"RR{d},RaBitQ4"),
        *_both("rabitq", f"RR{d},{ivf},RaBitQ", probes),
    ]
    return tuple(one for one in found if not only or one.family in only)


def _product_codes(n: int, d: int) -> list[str]:
    """Return product quantisers of d/4 and d/8 bytes, as far as d divides; none for fewer than 16 vectors.

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
