"""Does a run hold what it promises? Its controls and alarms, and runs of one table that are the same run."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.contract import Audit, Control, DataError, Digests, RunResult, Thresholds
from bench.evaluation.sanity.checks import check_evaluation, failures
from bench.evaluation.thresholds.operating_points import MOST_IMAGES, fit_thresholds, measure_thresholds
from bench.runs.artifacts import read_history
from bench.runs.store import RunRecord

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.contract import Dataset, Split
    from bench.evaluation.evaluate import Evaluation
    from bench.evaluation.ranking.arrays import Vectors
    from bench.evaluation.ranking.retrieval_set import RetrievalSet


@dataclass(frozen=True)
class Judgement:
    """What is found out about a run beside its scores, with the flags of the controls that failed."""

    controls: tuple[Control, ...]
    thresholds: Thresholds | None
    digests: Digests
    flags: tuple[str, ...]


def judge_run(
    validation: Vectors | None,
    dataset: Dataset,
    data: RetrievalSet,
    evaluation: Evaluation,
    *,
    audit: Audit,
    ties: str,
    threads: int,
    seed: int,
    device: str = "cpu",
) -> Judgement:
    """Check a run's vectors and ranking, and fit thresholds.

    validation: unit vectors of ``validation_sample``, None for no thresholds; data: the unit vectors that were ranked,
    on which device.
    """
    copies = next((leak.found / leak.images for leak in audit.leaks if leak.part == "query"), 0.0)
    controls = check_evaluation(evaluation, data, ties=ties, threads=threads, seed=seed, train_copies=copies)
    sample, fitted, thresholds = validation_sample(dataset, seed), None, None
    if validation is not None and sample is not None:
        fitted = fit_thresholds(validation, sample.labels, normalize=False, seed=seed)
    if fitted is not None:
        thresholds = Thresholds(fitted, measure_thresholds(fitted, data, seed=seed, device=device))
    digest = digests(data.query.source, data.gallery.source, evaluation.per_query)
    return Judgement(controls, thresholds, digest, tuple(failures(controls)))


def threshold_lines(thresholds: Thresholds) -> list[str]:
    """Return what thresholds say as lines of text."""
    fitted, test = thresholds.validation, thresholds.test
    lines = [
        f"equal error rate on validation {fitted.eer:.4f} ({fitted.images:,} images, {fitted.same:,} pairs of "
        f"one label, {fitted.different:,} of two)"
    ]
    for point in test.points:
        wanted = "equal error" if point.target is None else f"false-match rate {point.target:g}"
        lines.append(
            f"{wanted}: similarity >= {point.threshold:.4f}; on test FMR {point.fmr:.5f} "
            f"({point.false_matches:,} of {point.different:,}), FNMR {point.fnmr:.4f} "
            f"({point.false_non_matches:,} of {point.same:,})"
        )
    opened = test.open_set
    if opened is not None:
        who = "queries, their class left out of the gallery" if opened.left_out else "queries of missing classes"
        lines.append(
            f"open set: nearest similarity < {opened.threshold:.4f} rejects {opened.detected:,} of "
            f"{opened.unknown:,} {who}, and {opened.refused:,} of {opened.known:,} known; "
            f"AUROC {opened.auroc:.4f}"
        )
    return lines


def validation_sample(dataset: Dataset, seed: int) -> Split | None:
    """Return what thresholds are fitted on: at most 1,000 images of validation, None where it has fewer than two."""
    validation = dataset.validation
    if len(validation) < 2:
        return None
    rng = np.random.default_rng((seed, 9))
    return validation.subset(np.sort(rng.permutation(len(validation))[:MOST_IMAGES]).astype(np.int64))


FEWEST_VALUES = 20  # different values among the queries' scores: with fewer, two good methods agree by chance
_WORDS = {"vectors": "the same vectors", "per_query": "the same scores for every query"}


def digests(query: Vectors, gallery: Vectors, per_query: Mapping[str, NDArray[Any]]) -> Digests:
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
    return Digests(vectors.hexdigest(), scores)


def alarms(runs: Sequence[RunRecord]) -> dict[Path, tuple[str, ...]]:
    """Return the alarms of each run's folder that has any.

    Runs that may agree raise none: those of one method, options, data and seed, which differ in the metrics' settings,
    or in phases that leave the encoder as it is; those of one method, options and data that learns in closed form; and
    those of one method and options that trains nothing.
    """
    found: dict[Path, list[str]] = defaultdict(list)
    for kind, words in _WORDS.items():
        alike: dict[str, list[RunRecord]] = defaultdict(list)
        for run in runs:
            digest = getattr(run.result.digests, kind, None)
            if digest:
                alike[digest].append(run)
        for group in alike.values():
            if len(group) == 1:
                continue
            origins = {run.folder: _origin(run) for run in group}
            for run in group:
                other = next((one for one in group if origins[one.folder] != origins[run.folder]), None)
                if other is not None:
                    found[run.folder].append(f"copied run: {words} as {_name(other.result)}")
    return {folder: tuple(lines) for folder, lines in found.items()}


def _origin(run: RunRecord) -> str:
    """Return what decides a run's vectors: runs with one origin may have the same."""
    spec = run.result.spec
    decides: list[Any] = [spec.method, dict(spec.options), spec.engine, spec.mirror_test, spec.device]
    if run.result.trained:
        decides += [spec.fingerprint, run.result.seed if _has_steps(run) else None]
    return json.dumps(decides, sort_keys=True, default=list)


def _has_steps(run: RunRecord) -> bool:
    """Whether a trained run took steps from a start that its seed decides; what has no history is taken to have."""
    try:
        rows = read_history(run)
        return not rows or any(int(row["step"]) for row in rows)
    except (DataError, KeyError, ValueError):
        return True


def _name(run: RunResult) -> str:
    return f"{run.method} {run.key} seed {run.seed} ({run.dataset}, {run.protocol})"
