"""From a data set's vectors to a finished run: ranked, scored, checked and saved, whoever made the vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.contract import Audit, Costs, DataFacts, RunResult
from bench.data.audit.audit import audit
from bench.evaluation.evaluate import Evaluation, evaluate_set
from bench.evaluation.statistics.estimates import intervals, macro_means
from bench.runs.artifacts import save_per_query, save_replicates, save_vectors
from bench.runs.ranked import kept_lists, ranked_parts
from bench.runs.sanity_checks import Judgement, judge_run

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.contract import Labels
    from bench.evaluation.ranking.arrays import Vectors
    from bench.evaluation.statistics.jackknife import Replicates
    from bench.runs.recording import Attempt


@dataclass(frozen=True)
class SetVectors:
    """Unit vectors of a data set, float32.

    query ``(q, d)``, gallery ``(N, d)``: the same array where they are the same images. validation ``(v, d)``: of the
    images of ``validation_sample``, None where there are none.
    """

    query: Vectors
    gallery: Vectors
    validation: Vectors | None

    @property
    def dimension(self) -> int:
        return int(self.gallery.shape[1])


@dataclass(frozen=True)
class Scored:
    """What a data set's vectors are worth, and whether to believe it.

    lists: which say who answers whom, as a run keeps them; empty where labels do.
    """

    vectors: SetVectors
    audit: Audit
    evaluation: Evaluation
    judged: Judgement
    lists: Mapping[str, NDArray[Any]]


def audited(run: Attempt) -> Audit:
    """Return the audit of a run's data; copies of what is asked in what is learnt from are told."""
    found = audit(run.dataset, run.place.cache, run.place.progress)
    if found.leaked:
        leaks = " and ".join(f"{leak.found} {leak.part}" for leak in found.leaks)
        name = f"{run.spec.dataset} ({run.spec.protocol})"
        run.place.log(f"{name}: {leaks} images have a duplicate in train (--drop-leaks)")
    return found


def score_vectors(run: Attempt, vectors: SetVectors, checked: Audit) -> Scored:
    """Rank, score and check the vectors of a run. checked: what ``audited`` returned of its data.

    A run on CUDA is ranked there, and its pairs are counted there; controls are the CPU's.
    """
    dataset, spec, threads, device = run.dataset, run.spec, run.place.threads, run.place.device
    ranks_on = str(device) if device.type == "cuda" else "cpu"
    with run.timer.stage("evaluate"):
        data = ranked_parts(vectors.query, dataset.query, vectors.gallery, dataset.gallery)
        evaluation = evaluate_set(
            data,
            ks=spec.ks,
            metrics=spec.metrics,
            ties=spec.ties,
            threads=threads,
            device=ranks_on,
            seed=run.seed,
        )
    with run.timer.stage("control"):
        judged = judge_run(
            vectors.validation,
            dataset,
            data,
            evaluation,
            audit=checked,
            ties=spec.ties,
            threads=threads,
            seed=run.seed,
            device=ranks_on,
        )
    return Scored(vectors, checked, evaluation, judged, kept_lists(data, dataset))


def save_scored(
    run: Attempt, scored: Scored, beside: Mapping[str, NDArray[np.float64]], *, flags: tuple[str, ...] = ()
) -> RunResult:
    """Save what a run leaves of its vectors, and return its result: nothing is in it of training and of use.

    beside: values for each query that are not from the ranking, by metric; flags: to stand behind those found here.
    """
    evaluation, judged, vectors = scored.evaluation, scored.judged, scored.vectors
    scores, macro, left_out = _averaged(beside, run.dataset.query.labels, evaluation.replicates)
    save_per_query(run.files, run.dataset, evaluation, {**beside, **scored.lists})
    save_vectors(run.files, vectors.query, vectors.gallery)
    save_replicates(run.files, evaluation.replicates.joined(left_out))
    return RunResult(
        spec=run.spec,
        seed=run.seed,
        key=run.spec.key,
        status="done",
        provenance=run.made_by,
        data=DataFacts.of(run.dataset),
        scores={**evaluation.scores, **scores},
        macro={} if run.dataset.query.listed else {**evaluation.macro, **macro},
        ci95={**evaluation.ci95, **intervals(scores, left_out.these_classes)},
        ci95_other_classes={**evaluation.ci95_other_classes, **intervals(scores, left_out.other_classes)},
        flags=(*evaluation.flags, *judged.flags, *flags),
        controls=judged.controls,
        audit=scored.audit,
        thresholds=judged.thresholds,
        digests=judged.digests,
        costs=Costs(embedding_dim=vectors.dimension, bytes_per_vector=4 * vectors.dimension),
        timings=run.timer.stages,
        files=run.files.digests,
        seconds=run.timer.elapsed(),
    )


def _averaged(
    values: Mapping[str, NDArray[np.float64]], labels: Labels, ranked: Replicates
) -> tuple[dict[str, float], dict[str, float], Replicates]:
    """Return scores, macro averages and replicates of values for each query that are not from the ranking.

    ranked: those of the ranking, whose groups are used.
    """
    known = {name: v for name, v in values.items() if not np.isnan(v).any()}  # one query has nothing to swap with
    return {name: float(v.mean()) for name, v in known.items()}, macro_means(known, labels), ranked.of_values(known)
