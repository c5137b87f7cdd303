"""A comparison as Markdown: a table, then each pair's classes and queries, then what limits the verdicts."""

from __future__ import annotations

from tabulate import tabulate

from bench.report.compare.compared import Compared, Side


def as_text(found: Compared) -> str:
    """Return a comparison as Markdown."""
    arrow = "↑" if found.better == "higher" else "↓"
    reference = found.sides[0].name
    heads = [
        "method", f"{found.metric} {arrow}", "ci95", "seeds", f"less {reference}", "ci95", "p", "Holm p", "verdict",
        "classes better / worse", "detectable",
    ]  # fmt: skip
    table = tabulate(
        [_row(side) for side in found.sides],
        heads,
        tablefmt="pipe",
        disable_numparse=True,
        colalign=["left", *["right"] * 7, "left", "right", "right"],
    )
    title = f"## {found.metric} on {found.dataset} · {found.protocol}: {found.queries:,} queries"
    legend = (
        f"Each method against `{reference}` on the same queries; drawn and flipped: {found.drawn:,} {found.drawn_as}. "
        "p: paired permutation test on the mean over seeds; ci95: bootstrap, seeds and queries drawn; detectable: the "
        "smallest true difference found with 80 % power at 5 %."
    )
    parts = [title, "", table, "", legend]
    for side in found.sides[1:]:
        parts += ["", *_details(side, reference)]
    parts += ["", *(f"Note: {note}." for note in found.notes)] if found.notes else []
    return "\n".join(parts)


def _row(side: Side) -> list[str]:
    head = [side.name, f"{side.mean:.4f}", _ends(side.ci95), str(len(side.seeds))]
    one = side.against
    if one is None:
        return [*head, "", "", "", "", side.verdict, "", ""]
    ends = _ends((one.low, one.high), sign="+")
    wins = f"{side.better_in} / {side.worse_in} of {len(side.by_class or {})}"
    return [
        *head,
        f"{one.difference:+.4f}",
        ends,
        _p(one.p),
        _p(one.p_holm),
        side.verdict,
        wins,
        f"{one.detectable:.4f}",
    ]


def _details(side: Side, reference: str) -> list[str]:
    """Return the lines about one pair: the classes that differ most, and the queries."""
    lines = [f"### {side.name} less {reference}"]
    ordered = sorted((side.by_class or {}).items(), key=lambda pair: -abs(pair[1]))[:10]
    lines += ["", "Classes: " + ", ".join(f"{name} {difference:+.4f}" for name, difference in ordered)]
    if side.changed:
        rows = [
            [one.id, one.label, f"{one.reference:.4f}", f"{one.value:.4f}", f"{one.value - one.reference:+.4f}"]
            for one in side.changed
        ]
        heads = ["query", "class", reference, side.name, "difference"]
        sides = ["left", "left", "right", "right", "right"]
        lines += ["", tabulate(rows, heads, tablefmt="pipe", disable_numparse=True, colalign=sides)]
    return lines


def _ends(both: tuple[float, float], sign: str = "") -> str:
    return f"{both[0]:{sign}.4f} to {both[1]:{sign}.4f}"


def _p(value: float) -> str:
    return f"{value:.4f}" if value >= 0.0001 else "< 0.0001"
