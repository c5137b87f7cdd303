"""Across runs: two different runs with the same vectors or the same scores for every query are one run, copied.

Each run keeps digests of both in its run.json, so that all runs of a folder are compared without reading an array.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.runs.store import RunRecord

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.evaluation.arrays import Vectors

FEWEST_VALUES = 20  # different values among the queries' scores: with fewer, two good methods agree by chance
_TOLD = {"vectors": "the same vectors", "per_query": "the same scores for every query"}


def digests(query: Vectors, gallery: Vectors, per_query: Mapping[str, NDArray[Any]]) -> dict[str, str | None]:
    """Return hex digests of a run's vectors, and of every query's map and mean rank.

    query ``(q, d)``, gallery ``(N, d)``: float32. The second is None where fewer than 20 different values occur.
    """
    vectors = hashlib.blake2b(digest_size=16)
    for part in (query,) if query is gallery else (query, gallery):
        vectors.update(f"{part.shape}".encode())
        vectors.update(np.ascontiguousarray(part).data)
    table = np.column_stack([per_query["map"], per_query["mean_rank"]])
    varied = len(np.unique(table, axis=0)) >= FEWEST_VALUES
    scores = hashlib.blake2b(np.ascontiguousarray(table).data, digest_size=16).hexdigest() if varied else None
    return {"vectors": vectors.hexdigest(), "per_query": scores}


def alarms(runs: Sequence[RunRecord]) -> dict[Path, tuple[str, ...]]:
    """Return the alarms of each run's folder that has any.

    Runs that may agree raise none: those of one method, options, data and seed, which differ in the metrics' settings,
    or in phases that leave the encoder as it is; and those of one method and options that trains nothing.
    """
    told: dict[Path, list[str]] = defaultdict(list)
    for kind, words in _TOLD.items():
        alike: dict[str, list[RunRecord]] = defaultdict(list)
        for run in runs:
            digest = (run.content.get("digests") or {}).get(kind)
            if run.status == "done" and digest:
                alike[digest].append(run)
        for group in alike.values():
            for run in group:
                other = next((one for one in group if _origin(one) != _origin(run)), None)
                if other is not None:
                    told[run.folder].append(f"copied run: {words} as {_name(other)}")
    return {folder: tuple(lines) for folder, lines in told.items()}


def _origin(run: RunRecord) -> str:
    """Return what decides a run's vectors: runs with one origin may have the same."""
    spec = run.content["spec"]
    decides = {name: spec.get(name) for name in ("method", "options", "engine", "device")}
    decides["method"] = run.content["method"]
    if run.content.get("trained", True):
        decides |= {"fingerprint": spec["fingerprint"], "seed": run.content["seed"]}
    return json.dumps(decides, sort_keys=True, default=list)


def _name(run: RunRecord) -> str:
    content = run.content
    return f"{content['method']} {content['key']} seed {content['seed']} ({content['dataset']}, {content['protocol']})"
