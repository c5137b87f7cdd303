"""Two trees of results compared, as Markdown: a table of cells, the queries that changed most, cells on one side."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence

from tabulate import tabulate

from bench.report.compare.regressions import PAIRED, Against, Change
from bench.report.compare.result_sets import Cell

_ORDER = ("worse", "better", "same")


def against_text(found: Against) -> str:
    """Return a comparison of two trees as Markdown: what got worse first."""
    names = names_of([*(one.cell for one in found.changes), *(one.cell for one in found.lone)])
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


def names_of(cells: Sequence[Cell]) -> dict[Cell, str]:
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
    heads = ["cell", "old", "new", "difference", "ci95", "p", "Holm p", "verdict", "queries better / worse", "how"]
    rows = []
    for one in changes:
        counts = "" if one.queries is None else f"{one.queries_better:,} / {one.queries_worse:,} of {one.queries:,}"
        interval = "" if one.low is None or one.high is None else f"{one.low:+.4f} to {one.high:+.4f}"
        values = [f"{one.old:.4f}{_own(one.old_ci95, one)}", f"{one.new:.4f}{_own(one.new_ci95, one)}"]
        tests = [f"{one.difference:+.4f}", interval, _p(one.p), _p(one.p_holm)]
        rows.append([names[one.cell], *values, *tests, one.verdict, counts, one.how])
    sides = ["left", *["right"] * 6, "left", "right", "left"]
    return tabulate(rows, heads, tablefmt="pipe", disable_numparse=True, colalign=sides)


def _own(ends: tuple[float, float] | None, one: Change) -> str:
    """Return a mean's own interval, for a comparison that has no other."""
    return "" if ends is None or one.how == PAIRED else f" ({ends[0]:.4f} to {ends[1]:.4f})"


def _details(one: Change, name: str) -> list[str]:
    """Return what else is known of a cell: options that have changed, and the queries that changed most."""
    lines = [f"Options have changed: {', '.join(one.otherwise)}.", ""] if one.otherwise else []
    if one.verdict != "same" and one.changed:
        heads = ["query", "class", "old", "new", "difference"]
        rows = [
            [q.id, q.label, f"{q.reference:.4f}", f"{q.value:.4f}", f"{q.value - q.reference:+.4f}"]
            for q in one.changed
        ]
        sides = ["left", "left", "right", "right", "right"]
        lines.append(tabulate(rows, heads, tablefmt="pipe", disable_numparse=True, colalign=sides))
    return ["", f"### {name}: {one.verdict}", "", "\n".join(lines).rstrip()] if lines else []


def _p(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if value >= 0.0001 else "< 0.0001"
