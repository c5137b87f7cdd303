"""The page's HTML: templates, style and script of this folder, in one text that needs nothing else."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bench.contract import RunResult
from bench.evaluation.metrics.metric import Metric
from bench.report.aggregate.overall import Overall
from bench.report.aggregate.overall_text import caution
from bench.report.figures.style import Drawn
from bench.report.html.details import Detail
from bench.report.html.leaderboard import Finding, Line, number
from bench.report.html.origins import Origin
from bench.report.html.retrievals import Question
from bench.report.html.thumbnails import COLUMNS, Sheet
from bench.report.tables.frame import without_folders
from bench.report.tables.groups import Row, Table

_PART = re.compile(r"<!--fold-->(.*?)<!--/fold-->", re.DOTALL)
_PLACE = '<div data-folded="{}"><p class="note">This part is packed; a browser with scripts unpacks it.</p></div>'
_STORE = "<!--folded-->"


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
    origins: tuple[tuple[Row, tuple[Origin, ...]], ...]
    sheet: Sheet
    missing: tuple[str, ...]

    @property
    def first(self) -> RunResult | None:
        """The run that says what is known of the table's data; None where none is finished."""
        return self.table.rows[0].first.result if self.table.rows else None

    @property
    def ranked(self) -> bool:
        """Whether rows were compared on their queries, so that ranks say who can be told apart."""
        return any(text for row in self.table.rows for text in row.frame["rank_note"])

    @property
    def figures(self) -> list[Drawn]:
        """Every figure of the table, in the order of the page."""
        own = [figure for detail in self.details for figure in detail.figures]
        return [*self.overview, *([self.training] if self.training else []), *own]


def fold(page: str) -> str:
    """Return the page with all marked parts packed where ``<!--folded-->`` stands."""
    parts: list[str] = []

    def pack(found: re.Match[str]) -> str:
        parts.append(found[1])
        return _PLACE.format(len(parts) - 1)

    short = _PART.sub(pack, page)
    packed = base64.b64encode(gzip.compress(json.dumps(parts).encode(), 9, mtime=0)).decode()
    return short.replace(_STORE, f'<script type="text/plain" id="folded">{packed}</script>')


def render(
    views: Sequence[TableView],
    made_from: str,
    newest: str,
    overall: Overall,
    diagram: Drawn | None,
    *,
    with_files: bool,
) -> str:
    """Return the whole page, its folded parts packed.

    newest: the day of the newest run; diagram: of the methods' mean ranks, None where tables cannot be compared;
    with_files: whether its figures also lie beside it, in ``figures/``.
    """
    whole = rendered(
        "report.html.j2",
        scripts=("report.js",),
        views=views,
        made_from=made_from,
        newest=newest,
        overall=overall,
        diagram=diagram,
        with_files=with_files,
        caution=caution(overall),
    )
    return fold(whole)


def rendered(template: str, scripts: Sequence[str] = (), **values: Any) -> str:
    """Return a page of the report's look. scripts: of its own, beside what all pages have."""
    environment = Environment(
        loader=PackageLoader("bench.report.html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["share"] = lambda value: number(value, 3)
    environment.filters["json"] = _json
    environment.filters["without_folders"] = without_folders
    own, shared = files("bench.report.html") / "templates", files("bench.look")
    return environment.get_template(template).render(
        sheet_columns=COLUMNS,
        css=_ours(shared / "theme.css", own / "report.css"),
        js=_ours(shared / "theme.js", *(own / name for name in scripts)),
        **values,
    )


def _ours(*parts: Traversable) -> Markup:
    return Markup("\n".join(part.read_text(encoding="utf-8") for part in parts))  # noqa: S704 - our own files


def _json(value: Any) -> Markup:
    """Return a value as JSON that may stand inside a script element: no text in it can end the element."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028"))  # noqa: S704 - escaped here
