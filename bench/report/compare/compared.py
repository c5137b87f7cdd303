"""Methods compared on the same queries: who is better, by how much, how sure, where, and what could be seen at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bench.contract import DataError, UsageError
from bench.evaluation.metrics.registry import ranked_by
from bench.evaluation.ranking.arrays import Floats
from bench.evaluation.statistics.estimates import class_means, estimate
from bench.evaluation.statistics.jackknife import ESTIMANDS, THESE_CLASSES
from bench.evaluation.statistics.paired_tests import Comparison, check_same_queries, compare, most_changed
from bench.report.tables.entries import Entry, Queries
from bench.report.tables.wording import difference_in_words, markdown_table


@dataclass(frozen=True)
class Changed:
    """A query whose value differs much: its id, its class, and both values (each a mean over seeds)."""

    id: str
    label: str
    reference: float
    value: float


@dataclass(frozen=True)
class Side:
    """One of the compared: its mean, the mean's 95 % interval, its seeds, and how it fares against the reference.

    against: None for the reference itself; verdict: in words; by_class: class name -> difference of the class's means;
    better_in, worse_in: how many classes; changed: the queries that differ most, largest first; draws: its mean in each
    draw of new classes, by split seed, where several are compared.
    """

    name: str
    mean: float
    ci95: tuple[float, float]
    seeds: tuple[int, ...]
    against: Comparison | None = None
    verdict: str = "reference"
    better_in: int = 0
    worse_in: int = 0
    by_class: dict[str, float] | None = None
    changed: tuple[Changed, ...] = ()
    draws: dict[str, float] | None = None


@dataclass(frozen=True)
class Compared:
    """Everything that ``simbench compare`` tells. interval_of: what intervals and verdicts speak of."""

    metric: str
    better: str
    dataset: str
    protocol: str
    queries: int
    interval_of: str
    sides: tuple[Side, ...]
    notes: tuple[str, ...]


def compare_entries(entries: Sequence[Entry], metric: str, *, changed: int) -> Compared:
    """Compare each entry with the first. changed: how many queries to name for each.

    Raises UsageError for a metric that is no contest or entries of different data, protocol, queries or rule for ties;
    DataError for runs without per-query values of the metric.
    """
    known = ranked_by(metric)
    metric, better = known.name, known.better or "higher"
    queries = _same_queries(entries)
    names = names_of(entries)
    values = [entry.values(metric) for entry in entries]
    for name, found in zip(names, values, strict=True):
        if np.isnan(found).all():
            raise DataError(f"{name} has no value of {metric} for any query")
    check_same_queries(names, values)
    measured = [entry.measured(metric) for entry in entries]
    compared = compare(measured[0], measured[1:])
    sides = []
    for at, (entry, name) in enumerate(zip(entries, names, strict=True)):
        one = estimate(measured[at])
        side = Side(name, one.mean, (one.low, one.high), tuple(run.result.seed for run in entry.runs))
        if at > 0:
            pair = values[0].mean(axis=0), values[at].mean(axis=0)
            side = replace(
                side,
                **verdict_of(compared[at - 1], better),
                **_by_class(*pair, queries, better),
                changed=_changed(*pair, queries, changed),
            )
        sides.append(side)
    where = entries[0].where
    asked = int((~np.isnan(values[0][0])).sum())
    return Compared(
        metric, better, where[0], where[1], asked, entries[0].estimand, tuple(sides), _notes(entries, sides)
    )


def _same_queries(entries: Sequence[Entry]) -> Queries:
    """Return who was asked; raise UsageError if two entries were not asked the same in the same way."""
    first = entries[0]
    asked = first.queries()
    for entry in entries[1:]:
        pairs = zip(("data set", "protocol", "data", "ties"), first.where, entry.where, strict=True)
        apart = next(((what, a, b) for what, a, b in pairs if a != b), None)
        if apart is not None or not entry.queries().same_as(asked):
            why = "other queries" if apart is None else f"{apart[0]} {apart[2][:12]}, not {apart[1][:12]}"
            if apart is not None and apart[0] == "data":
                why += "; --across tells what changed for the queries that both were asked"
            raise UsageError(
                f"cannot compare {entry.name} with {first.name}: {why} ({entry.runs[0].folder}, {first.runs[0].folder})"
            )
    return asked


def names_of(entries: Sequence[Entry]) -> list[str]:
    """Return the entries' names, with their keys or seeds where a method stands for several."""
    if len({run.folder.resolve() for entry in entries for run in entry.runs}) < sum(len(e.runs) for e in entries):
        raise UsageError("a run is given twice: give each once, the reference first")
    names = []
    for entry in entries:
        alike = [other.runs[0].result for other in entries if other.name == entry.name]
        apart = [
            f"{part} {getattr(entry.runs[0].result, part)}"
            for part in ("key", "seed")
            if len({getattr(other, part) for other in alike}) > 1
        ]
        names.append(" ".join([entry.name, *apart]))
    return names


def verdict_of(found: Comparison, better: str) -> dict[str, Any]:
    """Return a comparison and what it says, in the direction in which the metric is better."""
    ahead = (found.difference > 0) == (better == "higher")
    words = ("better" if ahead else "worse") if found.separable else "not separable"
    return {"against": found, "verdict": words}


def _by_class(reference: Floats, values: Floats, queries: Queries, better: str) -> dict[str, Any]:
    return in_classes(class_differences(reference, values, queries), better)


def class_differences(reference: Floats, values: Floats, queries: Queries) -> dict[str, float]:
    """Return the difference of every class that has anything to find, by its name. Values: float64 ``(q,)``."""
    means = class_means(values - reference, queries.labels)
    present = np.unique(queries.labels)
    return {queries.classes[c]: float(one) for c, one in zip(present, means, strict=True) if not np.isnan(one)}


def in_classes(by_class: dict[str, float], better: str) -> dict[str, Any]:
    """Return differences by class, and in how many classes the second of the two is better, and worse."""
    up, down = sum(one > 0 for one in by_class.values()), sum(one < 0 for one in by_class.values())
    wins, losses = (up, down) if better == "higher" else (down, up)
    return {"by_class": by_class, "better_in": wins, "worse_in": losses}


def _changed(reference: Floats, values: Floats, queries: Queries, count: int) -> tuple[Changed, ...]:
    """Return the queries that differ most."""
    return tuple(
        Changed(str(queries.ids[row]), queries.classes[queries.labels[row]], float(reference[row]), float(values[row]))
        for row in most_changed(values - reference, count)
    )


def _notes(entries: Sequence[Entry], sides: Sequence[Side]) -> tuple[str, ...]:
    """Return what limits the verdicts, in words."""
    notes = []
    both = zip(entries, sides, strict=True)
    single = [side.name for entry, side in both if len(side.seeds) == 1 and entry.runs[0].result.trained]
    if single:
        notes.append(f"one seed only of {', '.join(single)}: this speaks of those trained models, not of other seeds")
    if entries[0].estimand == THESE_CLASSES:
        notes.append("intervals and verdicts are for other images of these classes, not for other classes")
    return tuple(notes)


def compared_text(found: Compared) -> str:
    """Return a comparison as Markdown: a table, then each pair's classes and queries, then what limits the verdicts."""
    arrow = "↑" if found.better == "higher" else "↓"
    reference, drawn = found.sides[0].name, found.sides[0].draws
    heads = [
        "method", f"{found.metric} {arrow}", "ci95", "lead", "ci95", "verdict", "Holm p", "p", "seeds",
        "classes better / worse", "detectable",
    ]  # fmt: skip
    table = markdown_table(heads, [_row(side, found.better) for side in found.sides], "lrrrrlr")
    over = f" · {len(drawn)} draws" if drawn else ""
    title = f"## {found.metric} on {found.dataset} · {found.protocol}{over}: {found.queries:,} queries"
    same = "queries, draw by draw" if drawn else "queries"
    others = "other draws of this collection's classes" if drawn else f"{ESTIMANDS[found.interval_of]} and other seeds"
    legend = (
        f"Each method against `{reference}` on the same {same}. lead: how far it is ahead, below 0 where it is "
        f"behind; ci95: were there {others}; p: of the same variance; "
        "detectable: the smallest true difference found with 80 % power at 5 %."
    )
    parts = [title, "", table, "", legend]
    for side in found.sides[1:]:
        parts += ["", *_details(side, found.sides[0], found.better)]
    parts += ["", *(f"Note: {note}." for note in found.notes)] if found.notes else []
    return "\n".join(parts)


def _row(side: Side, better: str) -> list[str]:
    head, seeds = [side.name, f"{side.mean:.4f}", _ends(side.ci95)], str(len(side.seeds))
    one = side.against
    if one is None:
        return [*head, "", "", side.verdict, "", "", seeds, "", ""]
    towards = _towards(better)
    low, high = sorted((towards * one.low, towards * one.high))
    ends = _ends((low, high), sign="+")
    wins = f"{side.better_in} / {side.worse_in} of {len(side.by_class or {})}"
    tests = [f"{towards * one.difference:+.4f}", ends, side.verdict, short_p(one.p_corrected), short_p(one.p)]
    return [*head, *tests, seeds, wins, f"{one.detectable:.4f}"]


def _towards(better: str) -> int:
    """Return what turns a difference into a lead: above 0 where the first of the two is the better one."""
    return 1 if better == "higher" else -1


def _details(side: Side, first: Side, better: str) -> list[str]:
    """Return the lines about one pair: who is ahead by how much, draw by draw, the classes and queries that differ."""
    reference = first.name
    lines = [f"### {side.name} against {reference}"]
    if side.against is not None:
        apart = _towards(better) * side.against.difference
        lines += ["", f"{difference_in_words(side.name, reference, apart, told=side.against.separable)}."]
    if side.draws and first.draws:
        leads = (f"{draw} {_towards(better) * (mean - first.draws[draw]):+.4f}" for draw, mean in side.draws.items())
        lines += ["", f"Draws: {', '.join(leads)}"]
    ordered = sorted((side.by_class or {}).items(), key=lambda pair: -abs(pair[1]))[:10]
    leads = (f"{name} {_towards(better) * difference:+.4f}" for name, difference in ordered)
    lines += ["", f"Classes: {', '.join(leads)}"]
    lines += ["", queries_table(side.changed, reference, side.name)] if side.changed else []
    return lines


def queries_table(changed: Sequence[Changed], reference: str, name: str) -> str:
    """Return queries with both values and their difference as Markdown."""
    rows = [
        [one.id, one.label, f"{one.reference:.4f}", f"{one.value:.4f}", f"{one.value - one.reference:+.4f}"]
        for one in changed
    ]
    return markdown_table(["query", "class", reference, name, "difference"], rows, "llr")


def _ends(both: tuple[float, float], sign: str = "") -> str:
    return f"{both[0]:{sign}.4f} to {both[1]:{sign}.4f}"


def short_p(value: float | None) -> str:
    """Return a p value in four decimals, nothing for none."""
    return "" if value is None else f"{value:.4f}" if value >= 0.0001 else "< 0.0001"
