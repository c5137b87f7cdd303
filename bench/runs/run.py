"""One run: fit, embed, score, time, save. Killed, it resumes; finished, it is not repeated."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bench.contract import (
    Costs,
    Dataset,
    Decodes,
    Method,
    RunResult,
    RunSpec,
    Workplace,
    baseline_of,
    decoder_of,
    uses_labels,
)
from bench.data.splits.splits import can_rank
from bench.evaluation.cost.load import OtherLoad
from bench.evaluation.inference.embed import embed_images, with_views
from bench.evaluation.inference.engines import on_engine
from bench.evaluation.metrics.reconstruction import score_decoding
from bench.evaluation.ranking.arrays import Vectors
from bench.files import packed_rows
from bench.runs.artifacts import HISTORY, save_samples, save_weights
from bench.runs.costs import PICTURES_TIMED, counted_costs, latency_columns, measure_latencies, save_latencies
from bench.runs.fitting import MemoryHistory, fit_method
from bench.runs.recording import Attempt, record_run
from bench.runs.sanity_checks import validation_sample
from bench.runs.scoring import SetVectors, audited, save_scored, score_vectors
from bench.runs.store import CHECKPOINTS, RunRecord
from bench.training.encoders.zoo import seen_before
from bench.training.trained import deviations

if TYPE_CHECKING:
    from numpy.typing import NDArray


def execute(spec: RunSpec, seed: int, dataset: Dataset, place: Workplace) -> RunRecord:
    """Run one specification with one seed, unless it is finished already, and return its record.

    A failure is a run too: it is recorded with its reason and returned, not raised. An interrupt is not recorded.
    """
    return record_run(spec, seed, dataset, place, _made)


def _made(run: Attempt) -> RunResult:
    """Fit, embed, score, check and time the method, and save what a run leaves but for run.json."""
    spec, images, timer = run.spec, run.dataset.query.images, run.timer
    _ = images.pixels  # of files: decoded here, and not in the time of what needs them first
    checked = audited(run)
    method, history = _fit(run)
    with timer.stage("compile"):
        one_view, engine = on_engine(method, spec.engine, images, device=run.place.device, threads=run.place.threads)
    embedder = with_views(one_view, mirror_test=spec.mirror_test)
    vectors = _embed(run, embedder)
    scored = score_vectors(run, vectors, checked)
    with timer.stage("decode"):
        decoding = _decode(run, embedder, vectors.query, decoder_of(method))
    with timer.stage("latency"):
        latency, load, costs = _costs(run, method, embedder, vectors)
    if history.rows():
        run.files.write(HISTORY, packed_rows(history.rows()))
    has_weights = save_weights(run.files, method)
    learnt = seen_before(spec.options, run.dataset.name)
    result = save_scored(run, scored, decoding, flags=(*history.events(), *_unchosen(history, run.dataset), *learnt))
    return replace(
        result,
        trained=bool(history.rows()),
        uses_labels=uses_labels(method),
        baseline=baseline_of(method),
        deviations=deviations(method),
        has_weights=has_weights,
        engine=engine,
        costs=costs,
        latency=latency,
        load=load,
        pictures_timed=PICTURES_TIMED,
    )


def _fit(run: Attempt) -> tuple[Method, MemoryHistory]:
    """Fit the method; its seconds hold what it trained before a kill, too."""
    stages, processor = run.timer.stages, time.process_time()
    with run.timer.stage("fit"):
        method, history = fit_method(run.spec, run.seed, run.dataset, run.place, run.folder / CHECKPOINTS)
    worked = round(time.process_time() - processor, 3)
    stages["fit_seconds"] = max(stages["fit_seconds"], history.trained("seconds"))
    stages["fit_cpu_seconds"] = max(worked, history.trained("cpu_seconds"))
    return method, history


def _embed(run: Attempt, method: Method) -> SetVectors:
    """Return unit vectors; of what thresholds are fitted on too, whose time is that of the controls."""
    dataset, place = run.dataset, run.place
    with run.timer.stage("embed"):
        gallery = query = embed_images(method, dataset.gallery.images, device=place.device, progress=place.progress)
        if dataset.query is not dataset.gallery:
            query = embed_images(method, dataset.query.images, device=place.device, progress=place.progress)
    with run.timer.stage("control"):
        sample = validation_sample(dataset, run.seed)
        validation = None if sample is None else embed_images(method, sample.images, device=place.device)
    return SetVectors(query, gallery, validation)


def _decode(run: Attempt, method: Method, query: Vectors, decoder: Decodes | None) -> dict[str, NDArray[np.float64]]:
    """Return what decoding scores for every query, nothing where the method does not decode."""
    if decoder is None:
        return {}
    device = run.place.device
    found = score_decoding(method, decoder, run.dataset.query.images, query, device=device)
    save_samples(run.files, run.dataset, decoder, query, cosines=found["decode_cosine"], device=device)
    return found


def _costs(
    run: Attempt, method: Method, embedder: Method, vectors: SetVectors
) -> tuple[dict[str, float], float | None, Costs]:
    """Return the numbers of every timed call, whose samples are kept, others' load, and what is counted."""
    device, threads, others = run.place.device, run.place.threads, OtherLoad()
    latencies = measure_latencies(embedder, run.dataset, vectors.query, vectors.gallery, device=device, threads=threads)
    load = others.so_far()
    save_latencies(run.files, latencies)
    views = 1 + run.spec.mirror_test
    costs = counted_costs(method, embedder, run.dataset, vectors.dimension, device=device, threads=threads, views=views)
    return latency_columns(latencies), None if load is None else round(load, 3), costs


UNCHOSEN = "no validation map to choose an epoch by: the last is kept"


def _unchosen(history: MemoryHistory, dataset: Dataset) -> tuple[str, ...]:
    """Return the flag of a run whose validation images could not be ranked, nothing where none was asked to be."""
    return (UNCHOSEN,) if history.rows() and not can_rank(dataset.validation.labels) else ()
