"""How long a query takes, from all runs that compute the same: one timing of a few seconds is mostly noise."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TypeAlias

from bench.contract import RunResult
from bench.evaluation.cost.load import is_high
from bench.runs.store import RunRecord

POOLED = ("pooled_embed_ms", "pooled_search_ms")
_SOURCES = ("embed_1_median_ms", "search_median_ms")
_Kind: TypeAlias = tuple[object, ...]  # what runs share whose timings are of the same work on the same machine


def pooled_latencies(runs: Sequence[RunRecord]) -> dict[Path, Mapping[str, float | int | None]]:
    """Return the pooled numbers of each finished run, by folder.

    ``pooled_embed_ms`` and ``pooled_search_ms``: the median over runs of their median times for one image and one
    query. Embedding is pooled over runs of one network, shape of images, engine, device and threads (a method without a
    network: over its own seeds), searching over galleries of as many vectors of one length. Runs timed on a busy
    machine count only where there is no other. ``query_ms``: the sum of the two; ``latency_runs``: how many runs
    ``pooled_embed_ms`` is of.
    """
    done = [run for run in runs if run.status == "done"]
    embed, search = ({run.folder: kind(run.result) for run in done} for kind in (_embedding, _searching))
    pooled = [_medians(done, kinds, source) for kinds, source in zip((embed, search), _SOURCES, strict=True)]
    found: dict[Path, Mapping[str, float | int | None]] = {}
    for run in done:
        (embed_ms, count), (search_ms, _) = (one[run.folder] for one in pooled)
        both = None if embed_ms is None or search_ms is None else embed_ms + search_ms
        times = dict(zip(POOLED, (embed_ms, search_ms), strict=True))
        found[run.folder] = {**times, "query_ms": both, "latency_runs": count}
    return found


def timed_on_busy_machine(run: RunResult) -> bool:
    """Whether other programs left a run fewer processors than it was timed on."""
    return is_high(run.load, run.provenance.threads, run.provenance.cores)


def _medians(
    runs: Sequence[RunRecord], kinds: Mapping[Path, _Kind], source: str
) -> dict[Path, tuple[float | None, int]]:
    """Return each run's median over its kind, and over how many runs that is."""
    quiet: dict[_Kind, list[float]] = defaultdict(list)
    every: dict[_Kind, list[float]] = defaultdict(list)
    for run in runs:
        value = run.result.latency.get(source)
        if value is not None:
            every[kinds[run.folder]].append(value)
            quiet[kinds[run.folder]] += [] if timed_on_busy_machine(run.result) else [value]
    found: dict[Path, tuple[float | None, int]] = {}
    for run in runs:
        values = quiet[kinds[run.folder]] or every[kinds[run.folder]]
        found[run.folder] = (median(values) if values else None, len(values))
    return found


def _machine(run: RunResult) -> _Kind:
    made_by = run.provenance
    return made_by.cpu, made_by.gpu, made_by.device, made_by.threads


def _embedding(run: RunResult) -> _Kind:
    own = (*run.place, run.method, run.key)
    network = run.costs.network if run.costs else None
    torch = run.provenance.packages.get("torch")
    return network or own, run.data.shape, run.spec.engine, run.spec.mirror_test, torch, *_machine(run)


def _searching(run: RunResult) -> _Kind:
    return run.data.counts.get("gallery"), run.embedding_dim, *_machine(run)
