"""The overall table in Markdown, with what its reader must know of it."""

from __future__ import annotations

from collections.abc import Sequence

from bench.report.aggregate.overall import ALPHA, FEW, Overall
from bench.report.tables.wording import markdown_table, p_value

FIGURE = "figures/critical-difference.svg"


def overall_section(found: Overall) -> str:
    """Return the section about all tables; nothing where there is one table only."""
    if not found.tables and not found.left_out:
        return ""
    lines = ["## All data sets", ""]
    if found.comparable:
        lines += [_counted(found), "", f"![{alternative(found)}]({FIGURE})", "", _table(found), "", *_tests(found), ""]
    else:
        lines += [
            "No overall table: it needs two data sets with two methods in each, at one budget a table. "
            "`simbench run -m '*' -d NAME` fills a table.",
            "",
        ]
    lines += _told("Counted, with the budget that rows have in common", [f"{t}: {b}" for t, b in found.tables.items()])
    if found.comparable:
        lines += _told("Not in every table, and so not ranked", [_apart(found, at) for at in range(len(found.apart))])
        lines += _told(
            "Otherwise than the shared defaults",
            [f"`{one.method}`, {note}" for one in found.ranked for note in one.notes],
        )
    lines += _told("Tables left out", found.left_out)
    return "\n".join(lines).rstrip()


def alternative(found: Overall) -> str:
    """Return the critical-difference diagram in words."""
    ranks = ", ".join(f"{one.method} {one.rank:.2f}" for one in found.ranked)
    return f"Critical-difference diagram: mean ranks over {len(found.datasets)} data sets: {ranks}"


def caution(found: Overall) -> str:
    """Return what limits the tests, in words; nothing where there are enough data sets."""
    count = len(found.datasets)
    if count >= FEW:
        return ""
    return (
        f"With {count} data sets these tests have little power: that they tell nothing apart is no sign that methods "
        "are alike. The tables themselves compare query by query and see more"
    )


def _counted(found: Overall) -> str:
    return (
        f"{len(found.ranked)} methods that are in each of {len(found.tables)} tables of {len(found.datasets)} data "
        f"sets. A data set's column is {found.metric} on the way from chance (0) to perfect (1), a mean over its "
        "tables; ranks are taken in each column, equal scores share theirs; *harmonic* is the columns' harmonic mean, "
        "at most so many times the worst as there are data sets, so that no one data set can buy it "
        "([leaderboards](../../docs/guides/leaderboards.md))."
    )


def _table(found: Overall) -> str:
    heads = ["method", "mean rank ↓", "harmonic ↑", "worst ↑", "worst on", *(f"{name} ↑" for name in found.datasets)]
    rows = [
        [
            one.method,
            f"{one.rank:.2f}",
            f"{one.aggregate:.3f}",
            f"{one.worst:.3f}",
            one.worst_on,
            *(f"{score:.3f}" for score in one.scores),
        ]
        for one in found.ranked
    ]
    return markdown_table(heads, rows, "lrrrlr")


def _tests(found: Overall) -> list[str]:
    said = []
    if found.friedman is not None:
        chi, p = found.friedman
        verdict = "not all methods are alike" if p <= ALPHA else "no difference among the methods can be told"
        said.append(f"Friedman's test: chi-squared {chi:.2f}, {p_value(p)}: {verdict}.")
    else:
        said.append("Friedman's test needs three methods that are not all equal.")
    said.append(
        f"Two methods can be told apart at 5 % where their mean ranks differ by {found.critical:.2f} or more (Nemenyi)."
    )
    if (found.critical or 0.0) > len(found.ranked) - 1:
        said.append("That is more than the best and the worst possible rank differ by: no two can be told apart here.")
    few = caution(found)
    return [f"**Tests**: {' '.join(said)}{f' {few}.' if few else ''}"]


def _apart(found: Overall, at: int) -> str:
    one = found.apart[at]
    pairs = zip(found.datasets, one.scores, strict=True)
    known = ", ".join(f"{name} {score:.3f}" for name, score in pairs if score is not None)
    return f"`{one.method}`{f': {known}' if known else ''}; missing in {' and '.join(one.missing)}"


def _told(heading: str, lines: Sequence[str]) -> list[str]:
    return [f"{heading}:", "", *(f"- {line}" for line in lines), ""] if lines else []
