"""Run folders as one flat table: a row a run."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from bench.contract import DRAW, Audit, RunResult, to_jsonable
from bench.evaluation.metrics.metric import Metric
from bench.evaluation.metrics.registry import DEFAULT, columns, describe
from bench.naming import readable
from bench.report.tables.draws import rank_over_draws, undrawn_specs
from bench.report.tables.pooled_latency import pooled_latencies, timed_on_busy_machine
from bench.report.tables.rank_groups import columns_of, rank_groups
from bench.report.tables.wording import many, phrases, row_labels
from bench.runs.sanity_checks import alarms
from bench.runs.store import RunRecord


def mean_over(runs: pd.DataFrame, column: str) -> float | None:
    """Return a column's mean over seeds, and then over draws; None where no run has it."""
    values = values_of_row(runs, column)
    return None if values.empty else float(values.mean())


def values_of_row(runs: pd.DataFrame, column: str) -> pd.Series:
    """Return a column's value for each seed of a row, or, of several draws, each draw's mean over seeds."""
    if column not in runs:
        return pd.Series(dtype=float)
    values = pd.to_numeric(runs[column], errors="coerce").dropna()
    return values.groupby(runs[DRAW]).mean() if draws_of(runs) > 1 else values


def draws_of(runs: pd.DataFrame) -> int:
    """Return how many draws of images the runs of a row or a table over draws are of; 1 of any other."""
    return int(runs[DRAW].nunique()) if "series" in runs and runs["series"].ne("").all() else 1


def counted(runs: pd.DataFrame) -> str:
    """Return how many runs a row has: its seeds, or draws and seeds."""
    draws, seeds = draws_of(runs), runs["seed"].nunique()
    if draws == 1:
        return str(len(runs))
    even = len(runs) == draws * seeds
    return f"{draws} draws x {many(seeds, 'seed')}" if even else f"{draws} draws, {many(len(runs), 'run')}"


def given(runs: pd.DataFrame) -> str:
    """Return the size of the pictures that a row's method was given, as tables write it."""
    return re.sub(r"\b(\d+)x\1\b", r"\1²", str(runs["input"].iloc[0]))


def sum_over(runs: pd.DataFrame, columns: Sequence[str]) -> float | None:
    """Return the sum of some columns' means over seeds, None where one is missing."""
    means = [mean for column in columns if (mean := mean_over(runs, column)) is not None]
    return sum(means) if len(means) == len(columns) else None


def interval_of(runs: pd.DataFrame, kind: str) -> tuple[float, float] | None:
    """Return the ends that the first run has of an interval such as ``map_seeds_ci95``, None where one is missing."""
    ends = [runs[f"{kind}_{end}"].iloc[0] for end in ("low", "high") if f"{kind}_{end}" in runs]
    if len(ends) < 2 or pd.isna(ends).any():
        return None
    return float(ends[0]), float(ends[1])


def row_interval(runs: pd.DataFrame, metric: str) -> tuple[float, float] | None:
    """Return a metric's 95 % interval over queries and seeds; the first run's own where there is none over seeds."""
    return interval_of(runs, f"{metric}_seeds_ci95") or interval_of(runs, f"{metric}_ci95")


def metric_of(frame: pd.DataFrame) -> Metric:
    """Return what the rows of a table of runs are ranked by."""
    return describe(DEFAULT if frame.empty or "ranked_by" not in frame else str(frame["ranked_by"].iloc[0]))


def merit(runs: pd.DataFrame) -> float:
    """Return a row's mean of what it is ranked by, the larger the better; minus infinity where it has none."""
    metric = metric_of(runs)
    mean = mean_over(runs, metric.name)
    return float("-inf") if mean is None else metric.sign * mean


def shown_columns(frame: pd.DataFrame, asked: Sequence[str] = (), *, narrow: bool = False) -> list[Metric]:
    """Return a table's columns: those asked for, by name, else of those that it has (see ``registry.columns``)."""
    if asked:
        return [describe(name) for name in asked]
    return columns({str(name) for name in frame if frame[name].notna().any()}, metric_of(frame).name, narrow=narrow)


def row_names(runs: Mapping[str, RunRecord]) -> dict[str, str]:
    """Return a name for each row of a table by one of its runs: the method, and what sets it apart from its others."""
    rows = []
    for key, run in runs.items():
        spec = run.result.spec
        depths = {"ks": str(list(spec.ks)), "metrics": str(list(spec.metrics))}
        scored = {"ties": spec.ties, **depths, "mirror_test": spec.mirror_test, **spec.marks}
        texts = {"options": json.dumps({**spec.options, **scored}), "budget": json.dumps(to_jsonable(spec.budget))}
        made_on = {"device": spec.device, "engine": spec.engine, "input": input_of(run.result)}
        unlike = {"deviations": phrases(run.result.deviations)}
        rows.append({"method": spec.method, "key": key, **texts, **made_on, **unlike})
    return {key: label for (_, key), label in row_labels(pd.DataFrame(rows)).items()}


def stem(words: Sequence[str], taken: Sequence[str], digest: str) -> str:
    """Return a file's stem of some words, with some of a digest behind them where that stem is taken already."""
    plain = re.sub(r"[^\w.-]+", "-", "-".join(words))
    return f"{plain}-{digest[:8]}" if plain in taken else plain


_FIRST = ("dataset", "protocol", "method", "seed", "status")
_DIGITS = 12  # of what is worked out here by matrix products, which another machine's library rounds otherwise


def runs_frame(runs: Sequence[RunRecord], rank_by: str = DEFAULT) -> pd.DataFrame:
    """Return one row a run: who it is, every metric under its own name, where it stands, cost, where it came from.

    Flags, deviations and leaks are tuples of texts. Ranks (by ``rank_by``) and intervals over seeds are those of its
    table, and the same for all seeds of a row. Reads the runs' per-query values for them. Raises UsageError for a
    metric that rows cannot be ranked by.
    """
    undrawn, alarmed = undrawn_specs(runs), alarms(runs)
    stand = rank_groups([run for run in runs if run.folder not in undrawn], rank_by)
    drawn = rank_over_draws(runs, undrawn, rank_by)
    pooled, rows = pooled_latencies(runs), []
    for run in runs:
        result, spec = run.result, undrawn.get(run.folder)
        found = stand.get((*result.place, result.method, result.key))
        rank_group = found if spec is None else drawn.get((spec.fingerprint, spec.key))
        ranked = columns_of(rank_group if run.status == "done" else None, rank_by)
        series = {"series": spec.fingerprint if spec else "", "series_key": spec.key if spec else ""}
        rows.append({**_row(result, ranked, alarmed.get(run.folder, ())), **series, **pooled.get(run.folder, {})})
    told = [{name: readable(one) if isinstance(one, str) else one for name, one in row.items()} for row in rows]
    frame = pd.DataFrame(told, columns=_columns(rows))
    return frame.sort_values(["dataset", "protocol", "method", "key", "seed"], ignore_index=True)


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the union of the rows' names in an order that does not depend on which run comes first."""
    names = {name: None for row in sorted(rows, key=len, reverse=True) for name in row}
    return list(names) or [*_FIRST, "key"]


def _row(run: RunResult, rank_group: Mapping[str, Any], alarmed: Sequence[str]) -> dict[str, Any]:
    spec, made_by, costs = run.spec, run.provenance, run.costs
    return {
        **{name: getattr(run, name) for name in _FIRST},
        **run.scores,
        **_ends(run.ci95, "ci95"),
        **_ends(run.ci95_other_classes, "other_classes_ci95"),
        **{f"{name}_macro": value for name, value in run.macro.items()},
        **{name: round(value, _DIGITS) if isinstance(value, float) else value for name, value in rank_group.items()},
        **run.latency,
        "timing_load": run.load,
        "timed_busy": timed_on_busy_machine(run),
        **run.timings,
        "evaluation_time": run.seconds,
        "embed_dim": costs and costs.embedding_dim,
        "bytes_per_vector": costs and costs.bytes_per_vector,
        "n_parameters": costs and costs.n_parameters,
        "mflops": None if costs is None or costs.flops is None else costs.flops / 1e6,
        "peak_embed_mb": costs and costs.peak_embed_mb,
        "trained": run.trained if costs else None,
        "uses_labels": run.uses_labels if costs else None,
        "baseline": run.baseline,
        "seen_classes": run.data.seen_classes,
        "queries": run.queries and run.queries[1],
        "queries_scored": run.queries and run.queries[0],
        "flags": (*run.flags, *alarmed),
        "deviations": phrases(run.deviations),
        "reason": run.reason,
        "key": run.key,
        "options": json.dumps(spec.options, sort_keys=True),
        "sources": json.dumps(spec.marks, sort_keys=True),
        "budget": json.dumps(to_jsonable(spec.budget), sort_keys=True),
        "data": json.dumps(spec.data, sort_keys=True),
        DRAW: str(run.draw),
        "input": input_of(run),
        "engine": spec.engine,
        "mirror_test": spec.mirror_test,
        "deterministic": spec.deterministic,
        **_leaks(run.audit),
        "dataset_revision": spec.fingerprint,
        "device": made_by.device,
        "threads": made_by.threads,
        "cpu": made_by.cpu,
        "gpu": made_by.gpu,
        "ram_gib": made_by.ram_gib,
        "torch": made_by.packages.get("torch"),
        "simbench": made_by.simbench,
        "commit": made_by.commit,
        "dirty": made_by.dirty,
        "uncommitted": " ".join(made_by.uncommitted),
        "distributions": " ".join(f"{name}=={version}" for name, version in made_by.distributions.items()),
        "date": made_by.date,
        "command": without_folders(made_by.command),
    }


def input_of(run: RunResult) -> str:
    """Return the size of the pictures that a method was given, height x width, and how they came to it if not cut.

    A dash where vectors were made elsewhere.
    """
    if run.spec.given_vectors:
        return "-"
    shape, resize = run.data.shape, run.spec.resize
    words = [f"{shape.height}x{shape.width}"]
    if resize is not None and resize.mode != "crop":
        words.append(resize.mode)
    if resize is not None and resize.value_range is not None:
        words.append("of values {} to {}".format(*resize.value_range))
    return " ".join(words)


def _ends(intervals: Mapping[str, tuple[float, float]], kind: str) -> dict[str, float]:
    """Return both ends of each metric's interval as columns."""
    both = ("low", "high")
    return {f"{name}_{kind}_{end}": ends[at] for name, ends in intervals.items() for at, end in enumerate(both)}


def without_folders(command: str) -> str:
    """Return a command line with each absolute path cut to its last part: tables are published, folders are private."""
    quoted = re.sub(r"""(['"])([^'"=]*=)?/[^'"]*/([^'"/]+)\1""", r"\1\2\3\1", command)  # there may be spaces in these
    return re.sub(r"(?<![\w.~])(?:/[^\s/=]+)+/([^\s/]+)", r"\1", quoted)


def _leaks(audit: Audit | None) -> dict[str, Any]:
    """Return how many images to test on have a copy in train; empty where a run was not audited."""
    if audit is None:
        return {"leaked_queries": None, "leaked_gallery": None, "leaks": ()}
    counts = {leak.part: leak.found for leak in audit.leaks}
    told = tuple(
        f"{leak.found:,} of {leak.images:,} {leak.part} images have a copy in train ({leak.exact:,} exact, "
        f"{leak.near:,} near)"
        for leak in audit.leaks
    )
    return {"leaked_queries": counts.get("query", 0), "leaked_gallery": counts.get("gallery", 0), "leaks": told}
