"""The page's HTML: templates, style and script of this folder, in one text that needs nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bench.report.frame import without_folders
from bench.report.overall_text import caution
from bench.report.page.folding import fold
from bench.report.page.leaderboard import number
from bench.report.page.thumbnails import COLUMNS

if TYPE_CHECKING:
    from bench.report.overall import Overall
    from bench.report.page.drawing import Drawn
    from bench.report.page.page import TableView


def render(views: Sequence[TableView], made_from: str, newest: str, overall: Overall, diagram: Drawn | None) -> str:
    """Return the whole page, its folded parts packed.

    newest: the day of the newest run; diagram: of the methods' mean ranks, None where tables cannot be compared.
    """
    environment = Environment(
        loader=PackageLoader("bench.report.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["share"] = lambda value: number(value, 3)
    environment.filters["json"] = _json
    environment.filters["without_folders"] = without_folders
    own, shared = files("bench.report.page") / "templates", files("bench.look")
    template = environment.get_template("report.html.j2")
    whole = template.render(
        views=views,
        made_from=made_from,
        newest=newest,
        overall=overall,
        diagram=diagram,
        caution=caution(overall),
        sheet_columns=COLUMNS,
        css=_ours(shared / "theme.css", own / "report.css"),
        js=_ours(shared / "theme.js", own / "report.js"),
    )
    return fold(whole)


def _ours(*parts: Traversable) -> Markup:
    return Markup("\n".join(part.read_text(encoding="utf-8") for part in parts))  # noqa: S704 - our own files


def _json(value: Any) -> Markup:
    """Return a value as JSON that may stand inside a script element: no text in it can end the element."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028"))  # noqa: S704 - escaped here
