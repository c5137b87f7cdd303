"""What stands beside the scores of an evaluation: controls, thresholds, and digests to find copied runs by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.evaluation.controls import Control, check_evaluation, failures
from bench.evaluation.embedding import embed_images
from bench.evaluation.thresholds import MOST_IMAGES, Fitted, OnTest, fit_thresholds, measure_thresholds
from bench.runs.alarms import digests

if TYPE_CHECKING:
    import torch

    from bench.contract import Dataset, Method
    from bench.data.audit import Audit
    from bench.evaluation.arrays import Vectors
    from bench.evaluation.evaluate import Evaluation


def judge_run(
    embedder: Method,
    dataset: Dataset,
    query: Vectors,
    gallery: Vectors,
    evaluation: Evaluation,
    *,
    audit: Audit,
    ties: str,
    device: torch.device,
    threads: int,
    seed: int,
) -> dict[str, Any]:
    """Return the parts of run.json called controls, thresholds, digests, and the flags of the controls that failed.

    query, gallery: unit vectors float32, the same array for both where they are the same images. At most 1,000
    images of the validation split are embedded; with fewer than two there are no thresholds.
    """
    names = dataset.query.labels, dataset.gallery.labels
    ids = {"query_ids": dataset.query.ids, "gallery_ids": dataset.gallery.ids}
    controls = check_evaluation(
        evaluation,
        query,
        names[0],
        gallery,
        names[1],
        **ids,
        ties=ties,
        threads=threads,
        seed=seed,
        train_copies=_share_learnt(audit),
    )
    fitted = _fit(embedder, dataset, device, seed)
    thresholds = None
    if fitted is not None:
        found = measure_thresholds(fitted, query, names[0], gallery, names[1], **ids, normalize=False, seed=seed)
        thresholds = thresholds_facts(fitted, found)
    return {
        "controls": controls_facts(controls),
        "thresholds": thresholds,
        "digests": digests(query, gallery, evaluation.per_query),
        "flags": list(failures(controls)),
    }


def controls_facts(controls: Sequence[Control]) -> list[dict[str, Any]]:
    """Return controls as JSON-able values."""
    return [asdict(one) for one in controls]


def thresholds_facts(fitted: Fitted, found: OnTest) -> dict[str, Any]:
    """Return thresholds as JSON-able values: what validation says, and what they do on test."""
    points = [{**asdict(point), "fmr": point.fmr, "fnmr": point.fnmr} for point in found.points]
    return {"validation": asdict(fitted), "test": {**asdict(found), "points": points}}


def told_thresholds(facts: Mapping[str, Any]) -> list[str]:
    """Return what thresholds say as lines of text."""
    fitted, test = facts["validation"], facts["test"]
    lines = [
        f"equal error rate on validation {fitted['eer']:.4f} ({fitted['images']:,} images, {fitted['same']:,} pairs of "
        f"one label, {fitted['different']:,} of two)"
    ]
    for point in test["points"]:
        wanted = "equal error" if point["target"] is None else f"false-match rate {point['target']:g}"
        lines.append(
            f"{wanted}: similarity >= {point['threshold']:.4f}; on test FMR {point['fmr']:.5f} "
            f"({point['false_matches']:,} of {point['different']:,}), FNMR {point['fnmr']:.4f} "
            f"({point['false_non_matches']:,} of {point['same']:,})"
        )
    opened = test["open_set"]
    if opened is not None:
        who = "queries, their class left out of the gallery" if opened["left_out"] else "queries of missing classes"
        lines.append(
            f"open set: nearest similarity < {opened['threshold']:.4f} rejects {opened['detected']:,} of "
            f"{opened['unknown']:,} {who}, and {opened['refused']:,} of {opened['known']:,} known; "
            f"AUROC {opened['auroc']:.4f}"
        )
    return lines


def _fit(embedder: Method, dataset: Dataset, device: torch.device, seed: int) -> Fitted | None:
    validation = dataset.validation
    if len(validation) < 2:
        return None
    rng = np.random.default_rng((seed, 9))
    rows = np.sort(rng.permutation(len(validation))[:MOST_IMAGES]).astype(np.int64)
    vectors = embed_images(embedder, validation.images.subset(rows), device=device)
    return fit_thresholds(vectors, validation.labels[rows], normalize=False, seed=seed)


def _share_learnt(audit: Audit) -> float:
    """Return the share of query images with a copy among the training images."""
    for leak in audit.leaks:
        if leak.part == "query":
            return leak.found / leak.images
    return 0.0
