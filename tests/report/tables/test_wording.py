"""What stands in a cell of a table stays in it, whatever a name or a reason holds."""

from __future__ import annotations

import csv
import io

from bench.report.tables.wording import in_cell, in_spreadsheet, markdown_table


def test_bars_newlines_and_tags_stay_inside_a_markdown_cell() -> None:
    table = markdown_table(["name", "why"], [["a|b", "x\r\ny"], ["<img src=x>", "p < 0.001"]])
    lines = table.splitlines()
    assert len(lines) == 4
    assert [line.replace("\\|", "").count("|") for line in lines] == [3] * 4
    assert "x y" in lines[2]
    assert "&lt;img" in lines[3]
    assert "p < 0.001" in lines[3]  # no tag
    assert in_cell("</td>") == "&lt;/td>"


def test_a_text_that_looks_like_a_formula_is_text_in_a_spreadsheet() -> None:
    values = ["=1+1", "+1", "-x", "@sum", "plain", -1.5, None]
    assert [in_spreadsheet(value) for value in values] == ["'=1+1", "'+1", "'-x", "'@sum", "plain", -1.5, None]
    text = io.StringIO()
    csv.writer(text).writerow([in_spreadsheet("=a,b")])
    assert text.getvalue().startswith('"\'=a,b"')
