"""What stands in a cell of a table stays in it, whatever a name or a reason holds."""

from __future__ import annotations

import csv
import io
import json

import pandas as pd

from bench.report.tables.wording import in_cell, in_spreadsheet, markdown_table, row_labels


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


def test_a_row_is_named_by_what_it_has_unlike_all_trained_methods_and_its_input_only_where_nothing_else_differs() -> (
    None
):
    def row(key: str, deviations: tuple[str, ...], side: int, **options: object) -> dict[str, object]:
        every = {"encoder": "resnet", "freeze_fraction": 0.2, "size": None, **options}
        texts = {"options": json.dumps(every), "budget": "{}", "input": f"{side}x{side}", "deviations": deviations}
        return {"method": "softmax", "key": key, **texts}

    plain = row("a", (), 64)
    frozen = row("b", ("encoder timm/x", "freeze_fraction 1"), 224, encoder="timm/x", freeze_fraction=1)
    larger = row("c", ("size 96",), 96, size=96)
    wide = {**frozen, "key": "d", "deviations": (*frozen["deviations"], "hidden 9")}  # type: ignore[misc]
    wide["options"] = json.dumps({**json.loads(str(frozen["options"])), "hidden": 9})
    assert row_labels(pd.DataFrame([plain, frozen, wide]))["softmax", "d"] == (
        "softmax (hidden=9, encoder=timm/x, freeze_fraction=1)"
    )
    names = row_labels(pd.DataFrame([plain, frozen]))
    assert names == {
        ("softmax", "a"): "softmax",
        ("softmax", "b"): "softmax (encoder=timm/x, freeze_fraction=1)",
    }
    assert row_labels(pd.DataFrame([plain, larger]))["softmax", "c"] == "softmax (size=96)"
    assert row_labels(pd.DataFrame([plain, larger]).drop(columns="deviations")) == {
        ("softmax", "a"): "softmax (size=None)",
        ("softmax", "c"): "softmax (size=96)",
    }
