"""Two runs on one folder before and after it changed: the queries that both were asked, and no test of them.

It is not a fair comparison: each run ranked another gallery, and a trained method learnt from other pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.contract import DataError, UsageError
from bench.evaluation.metrics.registry import ranked_by
from bench.evaluation.ranking.arrays import Floats, Ints
from bench.evaluation.statistics.paired_tests import most_changed
from bench.report.compare.compared import Changed, queries_table
from bench.report.tables.entries import Entry
from bench.report.tables.wording import many
from bench.runs.artifacts import PER_QUERY, read_arrays


@dataclass(frozen=True)
class Difference:
    """How many names are in both of two lists, only in the new one, and only in the old one."""

    kept: int
    new: int
    gone: int

    def __str__(self) -> str:
        return f"{self.kept:,} kept, {self.new:,} new, {self.gone:,} gone"


@dataclass(frozen=True)
class Across:
    """An old and a new run by the queries that both were asked, by id.

    old, new: their means over these; up, down: how many queries got better and worse; better, worse: those that did so
    most. whole_old, whole_new: each run's own mean over all its queries. notes: what else is not the same.
    """

    metric: str
    names: tuple[str, str]
    old: float
    new: float
    whole_old: float
    whole_new: float
    up: int
    down: int
    queries: Difference
    gallery: Difference
    better: tuple[Changed, ...]
    worse: tuple[Changed, ...]
    notes: tuple[str, ...]


def compare_across(old: Entry, new: Entry, metric: str, *, changed: int) -> Across:
    """Pair the queries of two runs on different states of a folder. changed: how many of each direction to name.

    Several seeds are averaged for each query. Raises UsageError for a metric that is no contest, runs on the same data,
    or of other protocols or rules for ties, and DataError where no query is in both or the metric is not there.
    """
    known = ranked_by(metric)
    if old.where == new.where:
        raise UsageError("both runs are on the same data: leave out --across for a fair comparison")
    (_, protocol, _, ties), (_, protocol_now, _, ties_now) = old.where, new.where
    for what, a, b in (("protocol", protocol, protocol_now), ("rule for ties", ties, ties_now)):
        if a != b:
            raise UsageError(f"cannot compare {new.name} with {old.name}: {what} {b}, not {a}")
    asked, since = old.queries(), new.queries()
    ids, before, after = np.intersect1d(asked.ids.astype(str), since.ids.astype(str), return_indices=True)
    if not len(ids):
        raise DataError(f"{old.runs[0].folder} and {new.runs[0].folder} have no query in common (by id)")
    values = old.values(known.name).mean(axis=0), new.values(known.name).mean(axis=0)
    first, second = values[0][before], values[1][after]
    both = ~np.isnan(first) & ~np.isnan(second)
    if not both.any():
        raise DataError(f"no query has a value of {known.name} in both runs")
    ahead = np.where(both, known.sign * (second - first), 0.0)
    labels = np.array(asked.classes)[asked.labels[before]], np.array(since.classes)[since.labels[after]]

    def named(rows: Ints) -> tuple[Changed, ...]:
        return tuple(Changed(str(ids[row]), str(labels[1][row]), float(first[row]), float(second[row])) for row in rows)

    return Across(
        known.name,
        (f"old {old.name}", f"new {new.name}"),
        float(first[both].mean()),
        float(second[both].mean()),
        float(np.nanmean(values[0])),
        float(np.nanmean(values[1])),
        int((ahead > 0).sum()),
        int((ahead < 0).sum()),
        Difference(len(ids), len(since.ids) - len(ids), len(asked.ids) - len(ids)),
        _galleries(old, new),
        named(_most(ahead, changed)),
        named(_most(-ahead, changed)),
        tuple(_notes(old, new, int((labels[0] != labels[1]).sum()), int((~both).sum()))),
    )


def across_text(found: Across) -> str:
    """Return the two as Markdown: what is not the same first, then means, and the queries that changed most."""
    parts = [
        f"## {found.metric} of the queries that both were asked: not a fair comparison",
        "",
        f"Queries: {found.queries}. Gallery: {found.gallery}. Each run ranked its own gallery, so a value may change "
        "because of what there was to find; no test and no interval can be given.",
        *(f"Note: {note}." for note in found.notes),
        "",
        f"Of the {many(found.queries.kept, 'query', 'queries')} in both: {found.names[0]} {found.old:.4f}, "
        f"{found.names[1]} {found.new:.4f}; {found.up:,} better, {found.down:,} worse. "
        f"Over all of their own: {found.whole_old:.4f} and {found.whole_new:.4f}.",
    ]
    for heading, changed in (("Better", found.better), ("Worse", found.worse)):
        if changed:
            parts += ["", f"### {heading}", "", queries_table(changed, *found.names)]
    return "\n".join(parts)


def _most(ahead: Floats, count: int) -> Ints:
    """Return the rows that got better most, the most first."""
    return most_changed(ahead.clip(min=0), count)


def _galleries(old: Entry, new: Entry) -> Difference:
    then, now = ({*read_arrays(one.runs[0], PER_QUERY, "gallery_ids")["gallery_ids"].tolist()} for one in (old, new))
    return Difference(len(then & now), len(now - then), len(then - now))


def _notes(old: Entry, new: Entry, relabelled: int, unscored: int) -> list[str]:
    one, other = old.runs[0].result, new.runs[0].result
    notes = []
    if (one.method, one.spec.options) != (other.method, other.spec.options):
        notes.append("the methods, or their options, differ too")
    if len(old.runs) != len(new.runs):
        notes.append(f"{many(len(old.runs), 'seed')} then, {len(new.runs)} now")
    if one.trained or other.trained:
        notes.append("they were trained, on pictures that may differ as well")
    if relabelled:
        notes.append(f"{many(relabelled, 'query', 'queries')} in both have another class now")
    if unscored:
        notes.append(
            f"{many(unscored, 'query', 'queries')} in both had nothing to find in one of them, and are left out"
        )
    return notes
