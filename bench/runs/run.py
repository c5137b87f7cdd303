"""One run: fit, embed, score, time, save. Killed, it resumes; finished, it is not repeated."""

from __future__ import annotations

import shutil
import time
import traceback
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.contract import (
    Audit,
    Costs,
    DataFacts,
    Dataset,
    Decodes,
    Method,
    Provenance,
    RunResult,
    RunSpec,
    SimbenchError,
    Workplace,
    baseline_of,
    decoder_of,
    uses_labels,
)
from bench.data.audit.audit import audit
from bench.data.splits.splits import can_rank
from bench.evaluation.cost.load import OtherLoad
from bench.evaluation.cost.timing import StageTimer
from bench.evaluation.evaluate import Evaluation, evaluate_set
from bench.evaluation.inference.embed import embed_images, with_views
from bench.evaluation.inference.engines import on_engine
from bench.evaluation.metrics.reconstruction import score_decoding
from bench.evaluation.ranking.arrays import Vectors
from bench.evaluation.statistics.estimates import intervals, macro_means
from bench.evaluation.statistics.jackknife import Replicates
from bench.files import packed_rows, sweep_leftovers
from bench.runs.artifacts import HISTORY, save_per_query, save_replicates, save_samples, save_vectors, save_weights
from bench.runs.costs import PICTURES_TIMED, counted_costs, latency_columns, measure_latencies, save_latencies
from bench.runs.fitting import MemoryHistory, failure_reason, fit_method, same_bits
from bench.runs.integrity import DamagedError, FileWriter
from bench.runs.provenance import provenance
from bench.runs.ranked import kept_lists, ranked_parts
from bench.runs.sanity_checks import Judgement, judge_run
from bench.runs.store import (
    CHECKPOINTS,
    RUN_FILE,
    RunRecord,
    locked,
    read_run,
    require_recordable,
    run_folder,
    write_run,
)
from bench.training.trained import deviations

if TYPE_CHECKING:
    from bench.contract import Labels


def execute(spec: RunSpec, seed: int, dataset: Dataset, place: Workplace) -> RunRecord:
    """Run one specification with one seed, unless it is finished already, and return its record.

    A failure is a run too: it is recorded with its reason and returned, not raised. An interrupt is not recorded.
    """
    require_recordable(spec)
    folder = run_folder(place.root, spec, seed)
    with locked(folder):
        done = None if place.force else _finished(folder, spec, seed, dataset, place)
        if done is not None:
            return done
        (folder / RUN_FILE).unlink(missing_ok=True)  # first: without it the run is not finished
        if place.force:
            shutil.rmtree(folder, ignore_errors=True)
        for written in (folder, folder / CHECKPOINTS):
            sweep_leftovers(written)
        place.log(f"{spec.method} on {spec.dataset} ({spec.protocol}), seed {seed}: {folder}")
        if spec.deterministic:
            place = replace(place, threads=1)
        made_by = provenance(place.device, place.threads, spec)  # now: what runs, not what it is edited to meanwhile
        run = _Run(spec, seed, dataset, place, FileWriter(folder), made_by)
        try:
            with same_bits() if spec.deterministic else nullcontext():
                result = run.result()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a method of somebody else's may raise anything, SystemExit too
            if place.debug and not isinstance(error, SimbenchError):
                raise
            result = run.failed(error)
        write_run(folder, result)
    record = read_run(folder)
    if record is None:
        raise SimbenchError(f"{folder / RUN_FILE} vanished while it was written")
    return record


def _finished(folder: Path, spec: RunSpec, seed: int, dataset: Dataset, place: Workplace) -> RunRecord | None:
    """Return the finished run in a folder, or None.

    One that is damaged is as one that failed, and stays as it is: only ``--force`` throws away what may have been a
    result.
    """
    try:
        known = read_run(folder)
    except DamagedError as error:
        made_by = provenance(place.device, place.threads, spec)
        result = RunResult.failed(spec, seed, dataset, provenance=made_by, reason=str(error), seconds=0.0)
        return RunRecord(folder, result)
    return known if known is not None and known.status == "done" else None


@dataclass(frozen=True)
class _Run:
    """A run that is being made."""

    spec: RunSpec
    seed: int
    dataset: Dataset
    place: Workplace
    files: FileWriter
    made_by: Provenance
    timer: StageTimer = field(default_factory=StageTimer)

    @property
    def folder(self) -> Path:
        return self.files.folder

    def result(self) -> RunResult:
        """Fit, embed, score, check and time the method, and save what a run leaves but for run.json."""
        spec, dataset, timer = self.spec, self.dataset, self.timer
        _ = dataset.query.images.pixels  # of files: decoded here, and not in the time of what needs them first
        audited = self._audit()
        method, history = self._fit()
        with timer.stage("compile"):
            one_view, engine = on_engine(method, spec.engine, dataset.query.images, threads=self.place.threads)
        embedder = with_views(one_view, mirror_test=spec.mirror_test)
        with timer.stage("embed"):
            query, gallery = self._embed(embedder)
        evaluation, judged, lists = self._evaluate(embedder, query, gallery, audited)
        with timer.stage("decode"):
            decoding = self._decode(embedder, query, decoder_of(method))
        with timer.stage("latency"):
            latency, load, costs = self._costs(method, embedder, query, gallery)
        save_per_query(self.files, dataset, evaluation, decoding | lists)
        save_vectors(self.files, query, gallery)
        if history.rows():
            self.files.write(HISTORY, packed_rows(history.rows()))
        scores, macro, left_out = _averaged(decoding, dataset.query.labels, evaluation.replicates)
        save_replicates(self.files, evaluation.replicates.joined(left_out))
        return RunResult(
            spec=spec,
            seed=self.seed,
            key=spec.key,
            status="done",
            provenance=self.made_by,
            data=DataFacts.of(dataset),
            scores={**evaluation.scores, **scores},
            macro={} if dataset.query.listed else {**evaluation.macro, **macro},
            ci95={**evaluation.ci95, **intervals(scores, left_out.these_classes)},
            ci95_other_classes={**evaluation.ci95_other_classes, **intervals(scores, left_out.other_classes)},
            flags=(*evaluation.flags, *judged.flags, *history.events(), *_unchosen(history, dataset)),
            controls=judged.controls,
            audit=audited,
            thresholds=judged.thresholds,
            digests=judged.digests,
            trained=bool(history.rows()),
            uses_labels=uses_labels(method),
            baseline=baseline_of(method),
            deviations=deviations(method),
            has_weights=save_weights(self.files, method),
            engine=engine,
            costs=costs,
            timings=timer.stages,
            latency=latency,
            load=load,
            pictures_timed=PICTURES_TIMED,
            files=self.files.digests,
            seconds=timer.elapsed(),
        )

    def failed(self, error: BaseException) -> RunResult:
        """Return the result where something was raised; to be called while it is handled."""
        return RunResult.failed(
            self.spec,
            self.seed,
            self.dataset,
            provenance=self.made_by,
            reason=failure_reason(error, self.spec),
            seconds=self.timer.elapsed(),
            traceback=traceback.format_exc(),
        )

    def _audit(self) -> Audit:
        found = audit(self.dataset, self.place.cache, self.place.progress)
        if found.leaked:
            leaks = " and ".join(f"{leak.found} {leak.part}" for leak in found.leaks)
            name = f"{self.spec.dataset} ({self.spec.protocol})"
            self.place.log(f"{name}: {leaks} images have a duplicate in train (--drop-leaks)")
        return found

    def _fit(self) -> tuple[Method, MemoryHistory]:
        """Fit the method; its seconds hold what it trained before a kill, too."""
        stages, processor = self.timer.stages, time.process_time()
        with self.timer.stage("fit"):
            method, history = fit_method(self.spec, self.seed, self.dataset, self.place, self.folder / CHECKPOINTS)
        worked = round(time.process_time() - processor, 3)
        stages["fit_seconds"] = max(stages["fit_seconds"], history.trained("seconds"))
        stages["fit_cpu_seconds"] = max(worked, history.trained("cpu_seconds"))
        return method, history

    def _embed(self, method: Method) -> tuple[Vectors, Vectors]:
        """Return (query, gallery) unit vectors; the same array for both where they are the same images."""
        dataset, place = self.dataset, self.place
        gallery = embed_images(method, dataset.gallery.images, device=place.device, progress=place.progress)
        if dataset.query is dataset.gallery:
            return gallery, gallery
        return embed_images(method, dataset.query.images, device=place.device, progress=place.progress), gallery

    def _evaluate(
        self, embedder: Method, query: Vectors, gallery: Vectors, audited: Audit
    ) -> tuple[Evaluation, Judgement, dict[str, NDArray[Any]]]:
        """Rank, score and check; return also the lists that say who answers whom, where there are any."""
        dataset, place = self.dataset, self.place
        with self.timer.stage("evaluate"):
            data = ranked_parts(query, dataset.query, gallery, dataset.gallery)
            spec, threads = self.spec, place.threads
            evaluation = evaluate_set(
                data, ks=spec.ks, metrics=dataset.metrics, ties=spec.ties, threads=threads, seed=self.seed
            )
        with self.timer.stage("control"):
            judged = judge_run(
                embedder,
                dataset,
                data,
                evaluation,
                audit=audited,
                ties=spec.ties,
                device=place.device,
                threads=threads,
                seed=self.seed,
            )
        return evaluation, judged, kept_lists(data, dataset)

    def _decode(self, method: Method, query: Vectors, decoder: Decodes | None) -> dict[str, NDArray[np.float64]]:
        """Return what decoding scores for every query, nothing where the method does not decode."""
        if decoder is None:
            return {}
        device = self.place.device
        found = score_decoding(method, decoder, self.dataset.query.images, query, device=device)
        save_samples(self.files, self.dataset, decoder, query, cosines=found["decode_cosine"], device=device)
        return found

    def _costs(
        self, method: Method, embedder: Method, query: Vectors, gallery: Vectors
    ) -> tuple[dict[str, float], float | None, Costs]:
        """Return the numbers of every timed call, whose samples are kept, others' load, and what is counted."""
        device, threads, others = self.place.device, self.place.threads, OtherLoad()
        latencies = measure_latencies(embedder, self.dataset, query, gallery, device=device, threads=threads)
        load = others.so_far()
        save_latencies(self.files, latencies)
        dim = int(gallery.shape[1])
        costs = counted_costs(
            method, embedder, self.dataset, dim, device=device, threads=threads, views=1 + self.spec.mirror_test
        )
        return latency_columns(latencies), None if load is None else round(load, 3), costs


UNCHOSEN = "no validation map to choose an epoch by: the last is kept"


def _unchosen(history: MemoryHistory, dataset: Dataset) -> tuple[str, ...]:
    """Return the flag of a run whose validation images could not be ranked, nothing where none was asked to be."""
    return (UNCHOSEN,) if history.rows() and not can_rank(dataset.validation.labels) else ()


def _averaged(
    values: Mapping[str, NDArray[np.float64]], labels: Labels, ranked: Replicates
) -> tuple[dict[str, float], dict[str, float], Replicates]:
    """Return scores, macro averages and replicates of values for each query that are not from the ranking.

    ranked: those of the ranking, whose groups are used.
    """
    known = {name: v for name, v in values.items() if not np.isnan(v).any()}  # one query has nothing to swap with
    return {name: float(v.mean()) for name, v in known.items()}, macro_means(known, labels), ranked.of_values(known)
