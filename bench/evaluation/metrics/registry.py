"""Every number simbench prints, declared once: the metrics of a ranking where they are computed, all others here."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from bench.contract import UsageError
from bench.evaluation.metrics import ranking  # noqa: F401 - declares the metrics of a ranking
from bench.evaluation.metrics.metric import RANKING, Metric
from bench.naming import did_you_mean

DEFAULT = "map"  # what tables are ranked by
DEPTHS = (1, 10, 50)  # k where none is asked for

_OF_RANKINGS = (
    Metric(
        "knn_accuracy@k", "higher", "share of queries whose label has the majority of the first k", shown="asked",
        per_query=True, ties=("pessimistic",), depth=10,
    ),
    Metric("map_optimistic", "higher", "map with ties counted for the method", shown="asked", per_query=True),
    Metric("tied_queries", None, "share of queries where ties change a rank", shown="asked", per_query=True),
    Metric(
        "micro_ap", "higher", "average precision of all pairs of queries and items in one ranking",
        ties=("pessimistic",), extra=True,
    ),
    Metric(
        "recall_at_p90", "higher", "recall of the pairs above the lowest threshold with precision 0.9", digits=4,
        ties=("pessimistic",), extra=True,
    ),
    Metric(
        "queries_without_relevant", None, "queries left out because nothing in the gallery is relevant", shown="asked"
    ),
)  # fmt: skip
_OF_VECTORS = (
    Metric("pair_auc", "higher", "ROC area of the similarity over balanced same/different pairs", chance=0.5),
    Metric(
        "pair_eer", "lower", "equal error rate of the similarity over balanced same/different pairs", chance=0.5,
        shown="asked",
    ),
    Metric(
        "effective_rank", None, "exp of the entropy of the gallery vectors' normalised singular values", shown="asked"
    ),
    Metric(
        "mean_pairwise_cosine", None, "mean cosine of pairs of gallery vectors; near 1 the model has collapsed",
        shown="asked",
    ),
)  # fmt: skip
_OF_DECODING = (
    Metric("decode_cosine", "higher", "cosine of an image's vector and of its decoded image's vector", per_query=True),
    Metric(
        "decode_cosine_shuffled", None, "decode_cosine with the decoded images paired with other queries", "shuffled",
        per_query=True,
    ),
    Metric(
        "pixel_mse", "lower", "mean squared error of the decoded image, pixels in [0, 1]", "mse", digits=4,
        per_query=True,
    ),
    Metric(
        "psnr", "higher", "peak signal-to-noise ratio of the decoded image in dB, at most 100", "psnr", "dB", 1,
        per_query=True,
    ),
    Metric("ssim", "higher", "structural similarity of the decoded image (Wang et al. 2004)", per_query=True),
)  # fmt: skip
_OF_COST = (
    Metric(
        "embed_1_median_ms", "lower", "milliseconds to embed one image, median", "embed", "ms", 2, ("ms",), "always"
    ),
    Metric("embed_1_p95_ms", "lower", "milliseconds to embed one image, 95th percentile", "embed p95", "ms", 2),
    Metric("embed_64_per_second", "higher", "images embedded a second, 64 at a time", "embed", "img/s", 0),
    Metric(
        "search_median_ms", "lower", "milliseconds to search the gallery for one query, median", "search", "ms", 2,
        shown="always",
    ),
    Metric(
        "query_ms", "lower",
        "milliseconds to embed one image and to search the gallery for it, medians over all runs of the same network",
        "one query", "ms", 2,
    ),
    Metric("embed_dim", "lower", "numbers in a vector", "dim", "", 0, ("dim",), "always"),
    Metric("bytes_per_vector", "lower", "bytes that one vector takes", "bytes", "", 0, ("bytes",), "always"),
    Metric("n_parameters", "lower", "learnt numbers that an embedding takes", "parameters", "", 0, ("parameters",)),
    Metric("mflops", "lower", "millions of floating-point operations to embed one image", "MFLOPs", "", 1),
    Metric("fit_seconds", "lower", "seconds of training", "fit", "s", 0, ("seconds",), "always"),
    Metric("peak_embed_mb", "lower", "memory that embedding takes at most", "peak", "MB", 0, shown="asked"),
    Metric("evaluation_time", "lower", "seconds of the whole run", "run", "s", 0, shown="asked"),
)  # fmt: skip
_OTHERS = {m.name: m for m in (*_OF_RANKINGS, *_OF_VECTORS, *_OF_DECODING, *_OF_COST)}
_ALIASES = {alias: metric for metric in _OTHERS.values() for alias in metric.aliases}
_LATENCY = re.compile(
    r"(?P<stage>index_build|decode|preprocess|embed|search|end_to_end)(?:_(?P<batch>[1-9][0-9]*))?"
    r"_(?P<what>median_ms|p95_ms|p99_ms|per_second)"
)
_PART = re.compile(r"(?P<stage>fit_cpu|compile|embed|evaluate|control|decode|latency)_seconds")


def declared() -> dict[str, Metric]:
    """Return every metric by its name in files, in the order of columns: those of rankings first."""
    return {**RANKING, **_OTHERS}


def describe(name: str) -> Metric:
    """Return a metric by its name in files, or by an alias: ``map@10`` gives ``map@k`` at depth 10.

    Raises UsageError for an unknown name, with the likeliest one.
    """
    known = declared().get(name) or _ALIASES.get(name) or _measured(name)
    if known is not None:
        return known
    base, _, depth = name.partition("@")
    at_any = declared().get(f"{base}@k")
    if at_any is not None and re.fullmatch(r"[1-9][0-9]*", depth):
        return at_any.at(int(depth))
    near = [
        m.at(int(depth) if depth.isdigit() else m.depth or 1).name if m.general else m.name for m in declared().values()
    ]
    likely = did_you_mean(name, [*near, *_ALIASES]) or f" (known: {', '.join(declared())})"
    raise UsageError(f"unknown metric {name!r}{likely}")


def column(name: str) -> Metric:
    """Return a metric as ``describe`` does; UsageError for a general one such as ``hit@k``, which is not one number."""
    metric = describe(name)
    if metric.general:
        raise UsageError(f"{name} needs a depth, such as {metric.at(metric.depth or 1).name}")
    return metric


def ranked_by(name: str) -> Metric:
    """Return a metric that rows can be ranked by: it has a better side, and a value for every query.

    Raises UsageError for another, and for a general one such as ``hit@k``.
    """
    metric = column(name)
    if metric.better is None:
        raise UsageError(f"{name} is no contest: neither more nor less of it is better; choose another metric")
    if not metric.per_query:
        known = ", ".join(one.name for one in declared().values() if one.per_query and one.better)
        raise UsageError(f"{name} has no value for each query, so rows cannot be tested on it; one of: {known}")
    return metric


def extra(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names of metrics that are worked out only where they are asked for, each once.

    Raises UsageError for another name; one at a depth is asked for as ``mp@k``, at the depths of all.
    """
    known = [name for name, metric in declared().items() if metric.extra]
    chosen = tuple(dict.fromkeys(names))
    for name in chosen:
        if name not in known:
            raise UsageError(f"no metric to ask for: {name!r}{did_you_mean(name, known)} (known: {', '.join(known)})")
    return chosen


def columns(present: Collection[str], order: str = DEFAULT, *, narrow: bool = False) -> list[Metric]:
    """Return what tables show of the numbers that there are, in the order of declaration.

    One at a depth is shown at its usual one, and at each that was asked for beside 1, 10 and 50. present: names of
    numbers that a row has; order: what rows are ranked by, which is always shown; narrow: only what always is.
    """
    found = []
    for metric in declared().values():
        shown = metric.shown == "always" or (metric.shown == "table" and not narrow)
        for one in _at_depths(metric, {*present, order}) if metric.general else [metric]:
            asked = one.depth in (None, metric.depth) or one.depth not in DEPTHS
            if one.name == order or (shown and asked and one.name in present):
                found.append(one)
    return found


def _at_depths(metric: Metric, present: Collection[str]) -> list[Metric]:
    """Return a general metric at each depth that there is, by rising depth."""
    base = metric.name.removesuffix("k")
    depths = {name.removeprefix(base) for name in present if name.startswith(base)}
    return [metric.at(k) for k in sorted(int(depth) for depth in depths if depth.isdigit())]


def _measured(name: str) -> Metric | None:
    """Return one of the numbers that every run measures of each stage, None for another name."""
    if part := _PART.fullmatch(name):
        return Metric(name, "lower", f"seconds of a run's part {part['stage']}", unit="s", digits=1, shown="asked")
    latency = _LATENCY.fullmatch(name)
    if latency is None:
        return None
    told = f"stage {latency['stage']}, {latency['batch'] or 1} at a time"
    if latency["what"] == "per_second":
        return Metric(name, "higher", f"how many a second: {told}", digits=0, shown="asked")
    kind = {"median_ms": "median", "p95_ms": "95th percentile", "p99_ms": "99th percentile"}[latency["what"]]
    return Metric(name, "lower", f"milliseconds of a call: {told}, {kind}", digits=2, shown="asked")
