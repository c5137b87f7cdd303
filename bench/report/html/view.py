"""What the page shows of one table."""

from __future__ import annotations

from dataclasses import dataclass

from bench.evaluation.metrics.metric import Metric
from bench.report.figures.style import Drawn
from bench.report.html.details import Detail
from bench.report.html.leaderboard import Finding, Line
from bench.report.html.origins import Audited, Origin
from bench.report.html.retrievals import Question
from bench.report.html.thumbnails import Sheet
from bench.report.tables.groups import Row, Table


@dataclass(frozen=True)
class TableView:
    """One table with everything that is shown of it. missing: what is left out, each with its reason."""

    table: Table
    finding: Finding
    columns: tuple[Metric, ...]
    lines: tuple[Line, ...]
    overview: tuple[Drawn, ...]
    training: Drawn | None
    asked: tuple[Question, ...]
    details: tuple[Detail, ...]
    mapped: tuple[tuple[int, int, str, str], ...]
    audited: Audited | None
    origins: tuple[tuple[Row, tuple[Origin, ...]], ...]
    sheet: Sheet
    missing: tuple[str, ...]

    @property
    def ranked(self) -> bool:
        """Whether rows were compared on their queries, so that ranks say who can be told apart."""
        return any(text for row in self.table.rows for text in row.frame["rank_note"])

    @property
    def figures(self) -> list[Drawn]:
        """Every figure of the table, in the order of the page."""
        own = [figure for detail in self.details for figure in detail.figures]
        return [*self.overview, *([self.training] if self.training else []), *own]
