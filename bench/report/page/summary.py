"""What the page says, in a sentence or three a table: who wins, by how much it is known, and what to beware of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.report.page.groups import RANKED_BY, Row, Table
from bench.report.page.leaderboard import number
from bench.report.wording import many


@dataclass(frozen=True)
class Finding:
    """A table's verdict. value, interval: the best's map; tied: names that cannot be told apart from it."""

    table: Table
    best: Row | None
    value: str
    interval: str
    tied: tuple[str, ...]
    sentences: tuple[str, ...]


def finding_of(table: Table) -> Finding:
    """Return what a table says."""
    if not table.rows:
        return Finding(table, None, "", "", (), (f"All {len(table.failed)} runs failed.",))
    best = max(table.rows, key=lambda row: row.mean(RANKED_BY) or 0.0)
    ends = best.interval(RANKED_BY)
    interval = f"{number(ends[0], 3)} to {number(ends[1], 3)}" if ends else ""
    tied = tuple(row.name for row in table.tied if row is not best)
    return Finding(table, best, number(best.mean(RANKED_BY) or 0.0, 3), interval, tied, tuple(_sentences(table, best)))


def _sentences(table: Table, best: Row) -> list[str]:
    said = []
    group = [row for row in table.tied if row.mean("embed_1_median_ms") is not None]
    if len(group) > 1:
        quick = min(group, key=lambda row: row.mean("embed_1_median_ms") or 0.0)
        said.append(f"Of these, {quick.name} embeds fastest ({number(quick.mean('embed_1_median_ms') or 0.0, 2)} ms).")
    plain = [row for row in table.rows if not row.trained and row.rank != 1]
    if plain and best.trained:
        floor = max(plain, key=lambda row: row.mean(RANKED_BY) or 0.0)
        said.append(f"The best that trains nothing, {floor.name}, has {number(floor.mean(RANKED_BY) or 0.0, 3)}.")
    single = [row for row in table.rows if row.trained and len(row.records) == 1]
    if single:
        said.append(f"{many(len(single), 'row')} of one seed only: other seeds may differ.")
    leaks = sorted({str(text).split("; ")[0] for text in best.frame["leaks"] if text})  # all of it is under the table
    said += [f"{text[0].upper()}{text[1:]}." for text in leaks]
    flagged = [row.name for row in table.rows if any(row.frame["flags"])]
    if flagged:
        said.append(f"Flagged: {', '.join(flagged)}.")
    if table.failed:
        said.append(f"{many(len(table.failed), 'run')} failed.")
    return said


def overview(tables: Sequence[Table]) -> str:
    """Return what the page is made from, in one sentence."""
    done = sum(len(row.records) for table in tables for row in table.rows)
    failed = sum(len(table.failed) for table in tables)
    sets = len({table.dataset for table in tables})
    lost = f", and {many(failed, 'failed run')}" if failed else ""
    return f"{many(done, 'finished run')}{lost} on {many(sets, 'data set')}, in {many(len(tables), 'table')}"
