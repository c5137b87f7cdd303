"""Every number simbench prints, in one line each: what it is, and whether more of it is better."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from bench.contract import UsageError


@dataclass(frozen=True)
class Metric:
    """One metric's name in files, its direction, its definition, and its chance level where that is one number.

    better: "higher", "lower", or None for a number that is no contest.
    """

    name: str
    better: Literal["higher", "lower"] | None
    definition: str
    chance: float | None = None

    @property
    def arrow(self) -> str:
        """The sign for a table's header: an arrow up, an arrow down, or nothing."""
        return {"higher": "↑", "lower": "↓", None: ""}[self.better]


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("map", "higher", "mean average precision over the whole ranking, divided by R"),
        Metric("map@k", "higher", "average precision of the first k, divided by min(k, R)"),
        Metric("map@r", "higher", "average precision of the first R, divided by R"),
        Metric("map_optimistic", "higher", "map with ties counted for the method"),
        Metric("r_precision", "higher", "hits in the first R, over R"),
        Metric("precision@k", "higher", "hits in the first k, over k"),
        Metric("recall@k", "higher", "hits in the first k, over R"),
        Metric("hit@k", "higher", "share of queries with a hit in the first k"),
        Metric("knn_accuracy@k", "higher", "share of queries whose label has the majority of the first k"),
        Metric("mrr", "higher", "mean of 1 / rank of the first relevant item"),
        Metric("ndcg@k", "higher", "discounted cumulative gain of the first k, over that of the ideal ranking"),
        Metric("first_rank", "lower", "mean rank of the first relevant item"),
        Metric("mean_rank", "lower", "mean rank of all relevant items"),
        Metric("mean_rank_norm", "lower", "mean rank from 0 (perfect) to 1 (the worst)", 0.5),
        Metric("pair_auc", "higher", "ROC area of the similarity over balanced same/different pairs", 0.5),
        Metric("pair_eer", "lower", "equal error rate of the similarity over balanced same/different pairs", 0.5),
        Metric("decode_cosine", "higher", "cosine of an image's vector and of its decoded image's vector"),
        Metric("decode_cosine_shuffled", None, "decode_cosine with the decoded images paired with other queries"),
        Metric("pixel_mse", "lower", "mean squared error of the decoded image, pixels in [0, 1]"),
        Metric("psnr", "higher", "peak signal-to-noise ratio of the decoded image in dB, at most 100"),
        Metric("ssim", "higher", "structural similarity of the decoded image (Wang et al. 2004)"),
        Metric("tied_queries", None, "share of queries where ties change a rank"),
        Metric("queries_without_relevant", None, "queries left out because nothing in the gallery is relevant"),
        Metric("effective_rank", None, "exp of the entropy of the gallery vectors' normalised singular values"),
        Metric("mean_pairwise_cosine", None, "mean cosine of pairs of gallery vectors; near 1 the model has collapsed"),
    )
}


def describe(name: str) -> Metric:
    """Return the description of a metric by its name in files: ``map@10`` gives that of ``map@k`` with k = 10."""
    if name in METRICS:
        return METRICS[name]
    base, _, cutoff = name.partition("@")
    general = METRICS.get(f"{base}@k")
    if general is None or re.fullmatch(r"[1-9][0-9]*", cutoff) is None:
        raise UsageError(f"unknown metric {name!r} (known: {', '.join(METRICS)})")
    return Metric(name, general.better, re.sub(r"\bk\b", cutoff, general.definition), general.chance)
