"""One run: fit, embed, score, time, save. Killed, it goes on where it was; finished, it is not repeated."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.contract import (
    Dataset,
    Decodes,
    Method,
    RunSpec,
    SimbenchError,
    Workplace,
    baseline_of,
    decoder_of,
    parameters_of,
    uses_labels,
)
from bench.data.audit.audit import audit
from bench.evaluation.evaluate import evaluate_set
from bench.evaluation.inference.embed import embed_images
from bench.evaluation.inference.engines import on_engine
from bench.evaluation.metrics.reconstruction import score_decoding
from bench.evaluation.ranking.arrays import Vectors
from bench.evaluation.ranking.retrieval_set import RetrievalSet
from bench.evaluation.statistics.bootstrap import ci95, macro_means
from bench.files import write_json, write_rows
from bench.runs.artifacts import save_per_query, save_samples, save_vectors, save_weights
from bench.runs.costs import encoded_pictures, latency_columns, measure_latencies, other_costs, save_latencies
from bench.runs.fitting import fit_method, reason_of
from bench.runs.provenance import provenance
from bench.runs.sanity_checks import judge_run
from bench.runs.store import CHECKPOINTS, RUN_FILE, RunRecord, clear, locked, read_run, run_folder, run_head
from bench.training.trained import deviations


def execute(spec: RunSpec, seed: int, dataset: Dataset, place: Workplace) -> RunRecord:
    """Run one specification with one seed, unless it is finished already, and return its record.

    A failure is a run too: it is recorded with its reason and returned, not raised. An interrupt is not recorded.
    """
    folder = run_folder(place.root, spec, seed)
    with locked(folder):
        done = read_run(folder)
        if done is not None and done.status == "done" and not place.force:
            return done
        if place.force:
            clear(folder)
        (folder / RUN_FILE).unlink(missing_ok=True)
        place.log(f"{spec.method} on {spec.dataset} ({spec.protocol}), seed {seed}: {folder}")
        made_by = provenance(place.device, place.threads)  # now: what runs, not what it is edited to meanwhile
        started = time.perf_counter()
        try:
            found = _run(spec, seed, dataset, place, folder)
        except Exception as error:
            if place.debug and not isinstance(error, SimbenchError):
                raise
            found = {"status": "failed", "reason": reason_of(error), "traceback": traceback.format_exc()}
        seconds = round(time.perf_counter() - started, 3)
        write_json(
            folder / RUN_FILE, {**run_head(spec, seed, "done"), **found, "seconds": seconds, "provenance": made_by}
        )
    record = read_run(folder)
    if record is None:
        raise SimbenchError(f"{folder / RUN_FILE} vanished while it was written")
    return record


def _run(spec: RunSpec, seed: int, dataset: Dataset, place: Workplace, folder: Path) -> dict[str, Any]:
    checked = audit(dataset, place.cache, place.progress)
    if checked.leaked:
        told = " and ".join(f"{leak.found} {leak.part}" for leak in checked.leaks)
        place.log(f"{spec.dataset} ({spec.protocol}): {told} images have a copy in train (--drop-leaks)")
    clock, processor = _Clock(), time.process_time()
    method, history = fit_method(spec, seed, dataset, place, folder / CHECKPOINTS)
    clock.lap("fit")
    worked = round(time.process_time() - processor, 3)
    clock.laps["fit_seconds"] = max(clock.laps["fit_seconds"], history.trained("seconds"))  # also before a kill
    clock.laps["fit_cpu_seconds"] = max(worked, history.trained("cpu_seconds"))
    embedder, engine = on_engine(method, spec.engine, dataset.query.images, threads=place.threads)
    clock.lap("compile")
    query, gallery = _embed(embedder, dataset, place)
    clock.lap("embed")
    data = RetrievalSet.of(
        query,
        dataset.query.labels,
        gallery,
        dataset.gallery.labels,
        query_ids=dataset.query.ids,
        gallery_ids=dataset.gallery.ids,
        normalize=False,  # they are unit vectors already
    )
    evaluation = evaluate_set(data, ks=spec.ks, ties=spec.ties, threads=place.threads, seed=seed)
    clock.lap("evaluate")
    judged = judge_run(
        embedder,
        dataset,
        data,
        evaluation,
        audit=checked,
        ties=spec.ties,
        device=place.device,
        threads=place.threads,
        seed=seed,
    )
    clock.lap("control")
    decoding = _decoding(embedder, dataset, query, place, folder, decoder=decoder_of(method))
    clock.lap("decode")
    pictures = encoded_pictures(dataset.query.images)
    latencies = measure_latencies(
        embedder, dataset, query, gallery, device=place.device, threads=place.threads, pictures=pictures
    )
    costs = other_costs(method, embedder, dataset, device=place.device, threads=place.threads)
    clock.lap("latency")
    save_latencies(folder, latencies)
    save_per_query(folder, dataset, evaluation, decoding)
    save_vectors(folder, query, gallery)
    saved = save_weights(folder, method)
    if history.rows():
        write_rows(folder / "history.csv", history.rows())
    decoded_scores = _Summary.of(decoding, dataset, seed)
    return {
        "scores": {**evaluation.scores, **decoded_scores.scores},
        "macro": {**evaluation.macro, **decoded_scores.macro},
        "ci95": {name: list(both) for name, both in {**evaluation.ci95, **decoded_scores.ci95}.items()},
        **judged,
        "flags": [*evaluation.flags, *judged["flags"], *history.events()],
        "trained": bool(history.rows()),
        "uses_labels": uses_labels(method),
        "baseline": baseline_of(method),
        "deviations": deviations(method),
        "engine": engine,
        "timings": clock.laps,
        "latency": latency_columns(latencies),
        "pictures_timed": pictures.source,
        **costs,
        "embed_dim": int(gallery.shape[1]),
        "bytes_per_vector": int(gallery.shape[1]) * 4,
        "n_parameters": parameters_of(method),
        "has_weights": saved,
        "data": {**_data_facts(dataset), "audit": asdict(checked)},
    }


def _embed(method: Method, dataset: Dataset, place: Workplace) -> tuple[Vectors, Vectors]:
    """Return (query, gallery) unit vectors; the same array for both where they are the same images."""
    gallery = embed_images(method, dataset.gallery.images, device=place.device, progress=place.progress)
    if dataset.query is dataset.gallery:
        return gallery, gallery
    return embed_images(method, dataset.query.images, device=place.device, progress=place.progress), gallery


def _decoding(
    method: Method, dataset: Dataset, query: Vectors, place: Workplace, folder: Path, *, decoder: Decodes | None
) -> dict[str, NDArray[np.float64]]:
    if decoder is None:
        return {}
    found = score_decoding(method, decoder, dataset.query.images, query, device=place.device)
    save_samples(folder, dataset, decoder, query, cosines=found["decode_cosine"], device=place.device)
    return found


@dataclass(frozen=True)
class _Summary:
    """Per-query values that are not from the ranking, averaged as the ranking's are."""

    scores: Mapping[str, float]
    macro: Mapping[str, float]
    ci95: Mapping[str, tuple[float, float]]

    @classmethod
    def of(cls, values: Mapping[str, Any], dataset: Dataset, seed: int) -> _Summary:
        labels = dataset.query.labels
        known = {name: v for name, v in values.items() if not np.isnan(v).any()}  # one query has nothing to swap with
        return cls(
            scores={name: float(v.mean()) for name, v in known.items()},
            macro=macro_means(known, labels),
            ci95=ci95(known, labels, seed=seed) if known else {},
        )


class _Clock:
    """Wall seconds of each stage."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[f"{name}_seconds"] = round(now - self._last, 4)
        self._last = now


def _data_facts(dataset: Dataset) -> dict[str, Any]:
    parts = {
        "train": dataset.train,
        "validation": dataset.validation,
        "query": dataset.query,
        "gallery": dataset.gallery,
    }
    return {
        "fingerprint": dataset.fingerprint,
        "shape": [dataset.shape.height, dataset.shape.width, dataset.shape.channels],
        "classes": len(dataset.classes),
        "learnt_classes": list(dataset.learnt_classes) if dataset.learnt_classes != dataset.classes else None,
        "gallery_is_train": dataset.protocol.gallery_is_train,
        "query_in_gallery": dataset.protocol.query_in_gallery,
        "seen_classes": dataset.protocol.seen_classes,
        "mirror": dataset.mirror,
        "resize": asdict(dataset.resize) if dataset.resize else None,
        "notes": list(dataset.notes),
        "counts": {name: len(part) for name, part in parts.items()},
    }
