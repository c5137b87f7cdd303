"""LaTeX tables: every character that means something is written out, and every table is whole."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bench.report.aggregate.overall import overall_of
from bench.report.latex import escape, latex
from bench.report.tables.frame import runs_frame
from bench.report.tables.groups import tables_of
from bench.runs.store import all_runs

WriteRun = Callable[..., Path]
Ways = dict[str, NDArray[Any]]
SPECIAL = '&%$#_{}~^\\<>|"'


def text_of(root: Path) -> str:
    records = all_runs(root)
    frame = runs_frame(records)
    return latex(frame, overall_of(tables_of(records, frame)))


@given(st.text(alphabet=SPECIAL + "ab 1", max_size=20))
def test_no_special_character_is_left_bare(text: str) -> None:
    rest = re.sub(r"\\text[a-z]+\{\}|\\[&%$#_{}]", "", escape(text))
    assert not set(rest) & set(SPECIAL)


def test_names_are_escaped_and_rows_have_as_many_cells_as_headings(
    tmp_path: Path, write_run: WriteRun, ways: Ways
) -> None:
    for dataset in ("my_pictures & co", "digits"):
        write_run(tmp_path, "siamese_bce", ways["centred"], dataset=dataset)
        write_run(tmp_path, "random", ways["three"], dataset=dataset)
    write_run(tmp_path, "arcface", None, reason="100% of memory", budget={"epochs": 3.0})
    text = text_of(tmp_path)
    assert r"my\_pictures \& co $\cdot$ loo" in text
    assert r"& siamese\_bce &" in text
    assert r"arcface seed 0: failed: 100\% of memory (with epochs=3)." in text
    tables = re.findall(r"\\begin\{tabular\}\{(\w+)\}\n\\toprule\n(.*?)\\bottomrule", text, flags=re.DOTALL)
    assert len(tables) == 3
    for sides, body in tables:
        rows = [line for line in body.splitlines() if line.endswith(r"\\")]
        assert len(rows) == 3
        assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {len(sides)}


def test_braces_and_environments_are_balanced(tmp_path: Path, write_run: WriteRun, ways: Ways) -> None:
    write_run(tmp_path, "pixels", ways["raw"])
    text = re.sub(r"\\[{}]", "", text_of(tmp_path))
    assert text.count("{") == text.count("}")
    for name in ("table", "tabular"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") == 1


def test_the_best_value_of_each_column_is_bold_and_the_caption_says_so(
    tmp_path: Path, write_run: WriteRun, ways: Ways
) -> None:
    for method, way in (("siamese_bce", "centred"), ("random", "three"), ("pixels", "raw")):
        write_run(tmp_path, method, ways[way])
    frame = runs_frame(all_runs(tmp_path))
    text = text_of(tmp_path)
    body = re.findall(r"\\midrule\n(.*?)\\bottomrule", text, flags=re.DOTALL)[0]
    rows = [[cell.strip() for cell in line.removesuffix(r"\\").split("&")] for line in body.strip().splitlines()]
    heads = [one.strip() for one in re.findall(r"\\toprule\n(.*?) \\\\", text)[0].split("&")]
    bold = {head: {row[1] for row in rows if row[at].startswith(r"\textbf")} for at, head in enumerate(heads)}
    first = {name.replace("_", r"\_") for name in frame.loc[frame["rank"] == 1, "method"]}
    best = set(frame.loc[frame["hit@1"].round(3) == frame["hit@1"].max().round(3), "method"])
    assert bold[r"map $\uparrow$"] == first
    assert bold[r"hit@1 $\uparrow$"] == {name.replace("_", r"\_") for name in best}
    assert bold["method"] == bold["\\#"] == set()
    assert r"in map, all that are not significantly different from the best. $\pm$: half the 95 \% interval" in text
