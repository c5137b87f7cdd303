"""A verdict in plain sentences, each from a number of the runs: for the terminal, and for the page."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from bench.choose.climb import LeftOut
from bench.choose.rungs import EPOCHS
from bench.choose.verdict import Facts, Verdict, command
from bench.config import duration
from bench.evaluation.metrics.registry import describe
from bench.report.recommend.answers import Rival, latency, verdict_of
from bench.report.recommend.answers_text import amount_in_words, value_in_words
from bench.report.tables.groups import Row
from bench.report.tables.wording import many

_FEW_LABELS = 20  # pictures of a class to learn from, below which more may well be worth having
_NAMED = 3
HEADS = ("#", "tried", "map", "hit@1", "ms", "bytes", "train s", "runs")


def data_in_words(facts: Facts) -> str:
    """Return what was looked at."""
    learnt = f"{many(facts.learnt, 'picture')} to learn from ({facts.a_class} of the middle class)"
    learnt = learnt if facts.learnt else "none to learn from"
    same = facts.asked == facts.searched
    asked = f"{many(facts.asked, 'picture')} to test on"
    asked += ", each asking all others" if same else f", asking {facts.searched:,} others"
    return f"{facts.name}: {many(facts.classes, 'class', 'classes')}, {learnt}, {asked} (protocol {facts.protocol})"


def sentences(verdict: Verdict) -> list[tuple[str, str]]:
    """Return what was found as (heading, sentence) pairs, in the order of their weight."""
    told = [
        ("Use", _use(verdict)),
        ("Sure", _sure(verdict)),
        ("Costs", costs_in_words(verdict.winner)),
        ("Training", _training(verdict)),
        ("Wrong", _wrong(verdict)),
        ("Might change it", " ".join(_changes(verdict))),
    ]
    return [(heading, text) for heading, text in told if text]


def commands(verdict: Verdict, word: str) -> list[tuple[str, str]]:
    """Return what to type next as (heading, command) pairs."""
    record = verdict.winner.first
    folder, costs = shlex.quote(str(record.folder)), record.result.costs
    typed = [("Again", command(verdict, verdict.winner, word)), ("Next", f"simbench serve --run {folder}")]
    if costs is not None and costs.n_parameters:
        typed.append(("Take it home", f"simbench export {folder} -d {shlex.quote(word)} -o winner"))
    return typed


def tried(verdict: Verdict) -> list[list[str]]:
    """Return a row of ``HEADS`` for each thing tried, the best first."""
    return [
        [
            str(row.rank),
            verdict.rungs[row.slug].words,
            _score(row, row.metric.name),
            _score(row, "hit@1"),
            _plain(latency(row), "{:.1f}"),
            _plain(row.mean("bytes_per_vector"), "{:,.0f}"),
            _plain(row.mean("fit_seconds"), "{:,.0f}"),
            str(len(row.records)),
        ]
        for row in verdict.table.rows
    ]


def left_out(verdict: Verdict) -> list[str]:
    """Return what has no result, and why: what there was no time for in one line, with the time that it takes."""
    late = [
        f"{one.rung.named(one.seed)}{f' ({duration(one.need)})' if one.need else ''}"
        for one in verdict.left_out
        if _late(one)
    ]
    failed = [f"{one.rung.named(one.seed)}: {one.why}" for one in verdict.left_out if not _late(one)]
    return [*([f"for want of time: {'; '.join(late)}"] if late else []), *failed]


def _late(one: LeftOut) -> bool:
    return one.need is not None


def spent_in_words(verdict: Verdict) -> str:
    """Return how much of the budget was spent."""
    return f"Tried in {duration(verdict.spent)} of {duration(verdict.budget)}."


def costs_in_words(row: Row) -> str:
    """Return what a row costs: milliseconds an image, bytes a vector, time of training."""
    ms, size, spent = latency(row), row.mean("bytes_per_vector"), row.mean("fit_seconds") or 0.0
    parts = [f"{ms:.1f} ms to embed an image and search for it"] if ms is not None else []
    parts += [f"{size:,.0f} bytes a vector"] if size is not None else []
    parts += [f"{duration(spent)} of training"] if row.trained else ["no training"]
    return f"{', '.join(parts)}; on {row.frame['cpu'].iloc[0]}, {many(int(row.frame['threads'].iloc[0]), 'thread')}."


def _use(verdict: Verdict) -> str:
    row = verdict.winner
    hit = row.mean("hit@1")
    first = f"; the first picture found is right for {hit:.1%} of the queries" if hit is not None else ""
    told = f"{row.name}, {verdict.rungs[row.slug].words}: {row.metric.name} {value_in_words(row)}{first}."
    if not verdict.keeps:
        return f"{told} Nothing tried keeps to {verdict.limits}: {verdict.best.nearest}."
    if verdict.free is not None:
        told += (
            f" It is the best within {verdict.limits}; without that, {verdict.free.name} has {verdict.free.score:.3f}."
        )
    return told


def _sure(verdict: Verdict) -> str:
    best = verdict.best
    if not best.rivals:
        return "It is the only one that was tried." if verdict.keeps else ""
    parts = []
    if best.tied:
        near = "; ".join(f"{rival.row.name} (behind by {amount_in_words(rival)})" for rival in best.tied[:_NAMED])
        parts.append(f"It cannot be told from {near}.")
    if verdict.cheaper is not None:
        parts.append(f"Of these {verdict.cheaper.name} is the quickest to make.")
    if best.beaten:
        rival = best.beaten[0]
        parts.append(f"It is better than {rival.row.name} by {amount_in_words(rival)}{_others(best.beaten)}.")
    if len(verdict.winner.records) == 1 and verdict.rungs[verdict.winner.slug].learns:
        parts.append("It was trained once: another training may differ by more than these intervals say.")
    return " ".join(parts)


def _others(rivals: Sequence[Rival]) -> str:
    more = len(rivals) - 1
    return f", and than {many(more, 'other')}" if more else ""


def _training(verdict: Verdict) -> str:
    found = verdict.training
    if found is None or found.rival.found is None:
        return ""
    rival, spent = found.rival, duration(found.trained.mean("fit_seconds") or 0.0)
    said = {"better": "was worth it", "worse": "was not worth it", "cannot be told": "cannot be told to be worth it"}
    relation = "better than" if rival.behind >= 0 else "worse than"
    return (
        f"It {said[verdict_of(rival)]}: {found.trained.name} is {relation} {rival.row.name}, for which nothing was "
        f"trained, by {amount_in_words(rival)}, for {spent} of training."
    )


def _wrong(verdict: Verdict) -> str:
    found = verdict.mistakes
    if found is None or not found.asked:
        return ""
    if not found.wrong:
        return f"The nearest picture is of the right class for all {found.asked:,} queries."
    named = ", ".join(f"{asked} taken for {given} ({count})" for asked, given, count in found.confused)
    return (
        f"The nearest picture is of another class for {found.wrong:,} of {found.asked:,} queries; most often {named}."
    )


def _changes(verdict: Verdict) -> list[str]:
    facts, told = verdict.facts, []
    if 0 < facts.a_class < _FEW_LABELS:
        told.append(f"More labels: there are {facts.a_class} pictures of the middle class to learn from.")
    if facts.seen:
        told.append("New classes: all that were asked for had been learnt from; --new-classes asks for others.")
    tied = [rival.found.detectable for rival in verdict.best.tied if rival.found is not None]
    if tied:
        told.append(
            f"More pictures to test on: differences below {min(tied):.3f} of {verdict.table.metric.name} go unseen."
        )
    rung = verdict.rungs[verdict.winner.slug]
    if rung.learns and rung.epochs < EPOCHS:
        told.append(f"More time: it was trained for {rung.epochs:g} of {EPOCHS:g} epochs (--budget).")
    elif any(_late(one) for one in verdict.left_out):
        told.append("More time: not everything was tried (--budget).")
    return told


def _score(row: Row, name: str) -> str:
    return _plain(row.mean(name), f"{{:.{describe(name).digits}f}}")


def _plain(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)
