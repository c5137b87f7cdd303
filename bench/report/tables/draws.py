"""Rows over several draws of the classes to test on: whose runs they are, what they are called, where they stand."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from bench.contract import DRAW, Draw, RunSpec
from bench.evaluation.metrics.metric import Metric
from bench.evaluation.metrics.registry import columns, ranked_by
from bench.evaluation.statistics.estimates import over_draws as estimate_over_draws
from bench.evaluation.statistics.jackknife import OTHER_CLASSES
from bench.evaluation.statistics.paired_tests import Comparison, compare_chosen
from bench.report.tables.entries import Entry, entry_of
from bench.report.tables.rank_groups import RankGroup
from bench.report.tables.wording import many
from bench.runs.store import RunRecord


def undrawn_specs(runs: Sequence[RunRecord]) -> dict[Path, RunSpec]:
    """Return by folder what the runs of a row over draws share, for the runs of tables with several draws."""
    specs = {run.folder: spec for run in runs if (spec := run.result.undrawn) is not None}
    draws: dict[tuple[str, str, str], set[Draw]] = defaultdict(set)
    for run in runs:
        if run.folder in specs and run.status == "done":
            draws[_place(specs[run.folder])].add(run.result.draw)
    return {folder: spec for folder, spec in specs.items() if len(draws[_place(spec)]) > 1}


def _place(spec: RunSpec) -> tuple[str, str, str]:
    return spec.dataset, spec.protocol, spec.fingerprint


def over_draws(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table of runs in which the runs of a row over draws share a key, a revision and the choice of data."""
    if "series" not in frame or not (joined := frame["series"].ne("")).any():
        return frame
    choices = frame["data"].map(_without_draw)
    return frame.assign(
        revision_of_draw=frame["dataset_revision"],
        dataset_revision=frame["series"].where(joined, frame["dataset_revision"]),
        key=frame["series_key"].where(joined, frame["key"]),
        data=choices.where(joined, frame["data"]),
    )


def _without_draw(data: str) -> str:
    return json.dumps({name: value for name, value in json.loads(data).items() if name != DRAW}, sort_keys=True)


def rank_over_draws(
    runs: Sequence[RunRecord], specs: dict[Path, RunSpec], rank_by: str
) -> dict[tuple[str, str], RankGroup]:
    """Return where each row over draws stands, by its table's revision and its key."""
    metric = ranked_by(rank_by)
    tables: dict[tuple[str, str, str], dict[str, list[RunRecord]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        if run.status == "done" and run.folder in specs:
            spec = specs[run.folder]
            tables[_place(spec)][spec.key].append(run)
    found: dict[tuple[str, str], RankGroup] = {}
    for (*_, revision), rows in tables.items():
        stood = _stand({key: entry_of(same) for key, same in rows.items()}, metric)
        found |= {(revision, key): group for key, group in stood.items()}
    return found


def compared_in_draws(best: Entry, others: Sequence[Entry], metric: Metric) -> list[Comparison | None]:
    """Return each of the others against the best in the draws that both have, None where these are fewer than two.

    Differences are the best's values less the other's, turned where less is better: above 0, the best is ahead.
    """
    known = best.draw_means(metric.name)
    found: list[Comparison | None] = []
    for other in others:
        means = other.draw_means(metric.name)
        shared = [draw for draw in known if draw in means]
        if len(shared) < 2:  # one draw has no spread
            found.append(None)
            continue
        reference, values = (-metric.sign * np.array([one[draw] for draw in shared]) for one in (known, means))
        found += compare_chosen([estimate_over_draws(values - reference)], 1 + len(others))
    return found


def _stand(rows: Mapping[str, Entry], metric: Metric) -> dict[str, RankGroup]:
    """Return the rank groups of one table by key."""
    merits = {key: metric.sign * _mean(entry.draw_means(metric.name)) for key, entry in rows.items()}
    first, *others = sorted(rows, key=lambda key: -merits[key])
    against = dict(zip(others, compared_in_draws(rows[first], [rows[key] for key in others], metric), strict=True))
    note = _note([one for one in against.values() if one], rows[first], metric)
    found = {}
    for place, key in enumerate([first, *others], start=1):
        compared = against.get(key)
        tied = key == first or (compared is not None and not compared.separable)
        found[key] = RankGroup(1 if tied else place, compared, _intervals(rows[key], metric), OTHER_CLASSES, note)
    return found


def _mean(means: Mapping[Draw, float]) -> float:
    return float(np.mean(list(means.values()))) if means else -np.inf


def _intervals(entry: Entry, metric: Metric) -> dict[str, tuple[float, float]]:
    """Return the interval over draws of every metric that a table shows one of."""
    shown = columns(entry.runs[0].result.scores, metric.name)
    means = {one.name: entry.draw_means(one.name) for one in shown if one.interval or one.name == metric.name}
    several = {name: np.array([*found.values()]) for name, found in means.items() if len(found) > 1}
    return {name: (one.low, one.high) for name, v in several.items() for one in (estimate_over_draws(v),)}


def _note(compared: Sequence[Comparison], best: Entry, metric: Metric) -> str:
    """Return what a table over draws can show, in words."""
    drawn = len(best.draw_means(metric.name))
    told = (
        f"over {many(drawn, 'draw')} of the classes to test on: ± is half the 95 % interval of the mean over draws of "
        "this collection's classes (Student's t)"
    )
    if not compared:
        return told
    reach = max(one.detectable for one in compared)
    return (
        f"{told}; rank 1 is shared by all that cannot be told apart from the best by {metric.name} at 5 % (differences "
        "within each draw, paired t test, Bonferroni over all pairs of rows). Differences up to "
        f"{reach:.3f} may be missed with a chance of 20 % or more"
    )
