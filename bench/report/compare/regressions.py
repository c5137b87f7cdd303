"""What got better or worse between two trees of results, cell by cell, and query by query where both kept them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.contract import DataError, UsageError
from bench.evaluation.metrics.registry import describe
from bench.evaluation.statistics.estimates import ALPHA
from bench.evaluation.statistics.paired_tests import holm
from bench.report.compare.compared import Changed, compare_entries, queries_table, short_p
from bench.report.compare.result_sets import Cell, Result, Tree
from bench.report.tables.entries import Entry
from bench.report.tables.wording import markdown_table

PAIRED, BY_VALUES = "query by query", "by table values"
_ORDER = ("worse", "better", "same")  # in which cells are told


@dataclass(frozen=True)
class Change:
    """One cell in both trees.

    verdict: better, worse, or same (no difference can be told). how: ``query by query``, with the difference's 95 %
    interval low to high, p, p_holm over all cells compared so, and how many queries got better and worse; or ``by table
    values``, where the two means' own intervals must lie apart. otherwise: options that differ, old -> new.
    """

    cell: Cell
    old: float
    new: float
    difference: float
    verdict: str
    how: str
    old_ci95: tuple[float, float] | None
    new_ci95: tuple[float, float] | None
    old_seeds: tuple[int, ...]
    new_seeds: tuple[int, ...]
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_holm: float | None = None
    queries: int | None = None
    queries_better: int | None = None
    queries_worse: int | None = None
    changed: tuple[Changed, ...] = ()
    otherwise: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Lone:
    """A cell without a partner. why: only in one of the trees, or failed in one or both, with the reason."""

    cell: Cell
    side: str
    why: str


@dataclass(frozen=True)
class Against:
    """Two trees compared on one metric. better: higher or lower."""

    metric: str
    better: str
    old: str
    new: str
    changes: tuple[Change, ...]
    lone: tuple[Lone, ...]
    notes: tuple[str, ...]


def compare_trees(old: Tree, new: Tree, metric: str = "map", *, changed: int = 5) -> Against:
    """Compare every cell of two trees. changed: how many queries to name for each.

    Cells are the same where data set, protocol, revision of the data, method, options, budget and engine are. Cells
    left over are matched where each side has a single one of their data and method: their options have changed. Raises
    UsageError for a metric that is no contest, DataError where the trees share no data.
    """
    known = describe(metric)
    metric, better = known.name, known.better
    if better is None:
        raise UsageError(f"{metric} is no contest: neither more nor less of it is better; compare another metric")
    pairs = _pairs(old, new)
    changes, lone = [], []
    for before, after in pairs:
        a, b = old.cells[before], new.cells[after]
        if a.mean(metric) is None or b.mean(metric) is None:
            lone.append(_failed(after, a, b, metric))
            continue
        changes.append(replace(_change(after, a, b, metric, changed=changed), otherwise=_otherwise(before, after)))
    changes = _judged(changes, better)
    taken_old, taken_new = {before for before, _ in pairs}, {after for _, after in pairs}
    lone += [Lone(cell, "old", "only in the old results") for cell in old.cells if cell not in taken_old]
    lone += [Lone(cell, "new", "only in the new results") for cell in new.cells if cell not in taken_new]
    return Against(metric, better, old.name, new.name, tuple(changes), tuple(lone), tuple(_notes(changes)))


def _pairs(old: Tree, new: Tree) -> list[tuple[Cell, Cell]]:
    """Return cells that belong together, old and new, in the order of the new tree's."""
    same = [(cell, cell) for cell in new.cells if cell in old.cells]
    rest_old = [cell for cell in old.cells if cell not in new.cells]
    rest_new = [cell for cell in new.cells if cell not in old.cells]
    counts_old, counts_new = (Counter(cell.place for cell in rest) for rest in (rest_old, rest_new))
    by_place = {cell.place: cell for cell in rest_old if counts_old[cell.place] == 1}
    moved = [(by_place[c.place], c) for c in rest_new if counts_new[c.place] == 1 and c.place in by_place]
    return sorted(same + moved, key=lambda pair: (pair[1].place, pair[1].options, pair[1].budget))


def _otherwise(before: Cell, after: Cell) -> tuple[str, ...]:
    """Return what a cell's settings were and have become."""
    a = {**json.loads(before.options), **json.loads(before.budget), "engine": before.engine}
    b = {**json.loads(after.options), **json.loads(after.budget), "engine": after.engine}
    return tuple(
        f"{name} {a.get(name, 'unset')} -> {b.get(name, 'unset')}"
        for name in sorted({*a, *b})
        if a.get(name, "unset") != b.get(name, "unset")
    )


def _failed(cell: Cell, old: Result, new: Result, metric: str) -> Lone:
    told = []
    for side, result in (("old", old), ("new", new)):
        if result.done.empty:
            told.append((side, f"failed in the {side} results: {result.reason}"))
        elif result.mean(metric) is None:
            told.append((side, f"no {metric} in the {side} results"))
    return Lone(cell, " and ".join(side for side, _ in told), "; ".join(why for _, why in told))


def _change(cell: Cell, old: Result, new: Result, metric: str, *, changed: int) -> Change:
    """Return a cell's change, still without its verdict."""
    before, after = old.mean(metric) or 0.0, new.mean(metric) or 0.0
    ends = old.ci95(metric), new.ci95(metric)
    plain = Change(cell, before, after, after - before, "", BY_VALUES, *ends, old.seeds, new.seeds)
    if old.entry is None or new.entry is None:
        side = "old" if old.entry is None else "new"
        return replace(plain, note=f"the {side} results are a table without values for every query")
    try:
        return _paired(plain, old.entry, new.entry, metric, changed=changed)
    except (DataError, UsageError) as error:
        return replace(plain, note=str(error))


def _paired(plain: Change, old: Entry, new: Entry, metric: str, *, changed: int) -> Change:
    compared = compare_entries([replace(old, name="old"), replace(new, name="new")], metric, changed=changed)
    found = compared.sides[1]
    if found.against is None:
        return plain
    one = found.against
    differences = new.values(metric).mean(axis=0) - old.values(metric).mean(axis=0)
    up, down = int((differences > 0).sum()), int((differences < 0).sum())
    if compared.better == "lower":
        up, down = down, up
    return replace(
        plain,
        how=PAIRED,
        old=compared.sides[0].mean,
        new=found.mean,
        difference=one.difference,
        low=one.low,
        high=one.high,
        p=one.p,
        queries=compared.queries,
        queries_better=up,
        queries_worse=down,
        changed=tuple(query for query in found.changed if query.value != query.reference),
    )


def _judged(changes: Sequence[Change], better: str) -> list[Change]:
    """Return the changes with their verdicts, and with p corrected for all that were tested."""
    tested = [one.p for one in changes if one.p is not None]
    corrected = iter(holm(np.array(tested, dtype=np.float64)).tolist())
    return [
        replace(one, verdict=_verdict(one, better), p_holm=None if one.p is None else next(corrected))
        for one in changes
    ]


def _verdict(one: Change, better: str) -> str:
    if one.how == PAIRED:
        told = one.p is not None and one.p <= ALPHA
    elif one.old_ci95 is None or one.new_ci95 is None:
        told = False
    else:
        told = one.new_ci95[0] > one.old_ci95[1] or one.new_ci95[1] < one.old_ci95[0]
    if not told or one.difference == 0:
        return "same"
    return "better" if (one.difference > 0) == (better == "higher") else "worse"


def _notes(changes: Sequence[Change]) -> Iterator[str]:
    tested = sum(one.how == PAIRED for one in changes)
    if tested:
        yield (
            f"each of {tested} cells is judged at 5 % by itself, so about {tested * ALPHA:.1f} would be called better "
            "or worse by chance; Holm p corrects for all of them"
        )
    untested = len(changes) - tested
    if untested:
        yield (
            f"{untested} cells are compared by table values alone: they are called better or worse where the two "
            "intervals lie apart, which misses much that a comparison query by query would find"
        )
    for note, count in sorted(Counter(one.note for one in changes if one.note).items()):
        yield f"by table values ({count} of {len(changes)} cells): {note}"
    if any(one.old_seeds != one.new_seeds for one in changes):
        yield "where seeds differ, means over other seeds are compared"


def against_text(found: Against) -> str:
    """Return two trees compared as Markdown: cells, the worse first, their changed queries, and cells on one side."""
    names = _names([*(one.cell for one in found.changes), *(one.cell for one in found.lone)])
    counts = Counter(one.verdict for one in found.changes)
    arrow = "↑" if found.better == "higher" else "↓"
    told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in _ORDER)
    parts = [
        f"## {found.metric} {arrow}: {found.new} against {found.old}",
        "",
        f"{len(found.changes)} cells in both: {told}.",
    ]
    ordered = sorted(found.changes, key=lambda one: _ORDER.index(one.verdict))
    if ordered:
        parts += ["", _table(ordered, names)]
    for one in ordered:
        parts += _details(one, names[one.cell])
    if found.lone:
        parts += ["", "### Not compared", "", *(f"- {names[one.cell]}: {one.why}" for one in found.lone)]
    parts += ["", *(f"Note: {note}." for note in found.notes)] if found.notes else []
    return "\n".join(parts)


def _names(cells: Sequence[Cell]) -> dict[Cell, str]:
    """Return each cell in words: data set, protocol, method, budget, and what tells it from others of that name."""
    plain = {cell: _name(cell) for cell in cells}
    alike = Counter(plain.values())
    return {cell: f"{name} [{_apart(cell, cells)}]" if alike[name] > 1 else name for cell, name in plain.items()}


def _name(cell: Cell) -> str:
    budget = {name: value for name, value in json.loads(cell.budget).items() if value is not None}
    told = [f"{name}={value}" for name, value in budget.items()]
    told += [f"engine={cell.engine}"] if cell.engine != "torch" else []
    told += [f"key {cell.twin}"] if cell.twin else []
    return f"{cell.dataset} · {cell.protocol} · {cell.method}" + (f" ({', '.join(told)})" if told else "")


def _apart(cell: Cell, cells: Sequence[Cell]) -> str:
    """Return the options of a cell that others of its method have otherwise, or its data's revision."""
    others = [json.loads(other.options) for other in cells if other.place == cell.place]
    own = json.loads(cell.options)
    told = [f"{name}={value}" for name, value in own.items() if any(one.get(name) != value for one in others)]
    return ", ".join(told) or f"data {cell.revision[:8]}"


def _table(changes: Sequence[Change], names: Mapping[Cell, str]) -> str:
    heads = ["cell", "old", "new", "difference", "verdict", "ci95", "Holm p", "p", "queries better / worse", "how"]
    rows = []
    for one in changes:
        counts = "" if one.queries is None else f"{one.queries_better:,} / {one.queries_worse:,} of {one.queries:,}"
        interval = "" if one.low is None or one.high is None else f"{one.low:+.4f} to {one.high:+.4f}"
        values = [f"{one.old:.4f}{_own(one.old_ci95, one)}", f"{one.new:.4f}{_own(one.new_ci95, one)}"]
        tests = [f"{one.difference:+.4f}", one.verdict, interval, short_p(one.p_holm), short_p(one.p)]
        rows.append([names[one.cell], *values, *tests, counts, one.how])
    return markdown_table(heads, rows, "lrrrlrrrrl")


def _own(ends: tuple[float, float] | None, one: Change) -> str:
    """Return a mean's own interval, for a comparison that has no other."""
    return "" if ends is None or one.how == PAIRED else f" ({ends[0]:.4f} to {ends[1]:.4f})"


def _details(one: Change, name: str) -> list[str]:
    """Return what else is known of a cell: options that have changed, and the queries that changed most."""
    lines = [f"Options have changed: {', '.join(one.otherwise)}.", ""] if one.otherwise else []
    if one.verdict != "same" and one.changed:
        lines.append(queries_table(one.changed, "old", "new"))
    return ["", f"### {name}: {one.verdict}", "", "\n".join(lines).rstrip()] if lines else []
