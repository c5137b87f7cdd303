"""A verdict as one page that needs nothing else, and as JSON for programs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bench.choose.update import CHOICE, Known
from bench.choose.verdict import Verdict
from bench.choose.verdict_text import HEADS, commands, data_in_words, left_out, sentences, spent_in_words, tried
from bench.contract import DataError, Dataset
from bench.files import write_bytes, write_json
from bench.report.figures.tradeoff import draw_tradeoffs
from bench.report.html.rendering import rendered
from bench.report.html.retrievals import KINDS, Question, questions
from bench.report.html.thumbnails import Pictures, Sheet
from bench.report.tables.groups import read_answers
from bench.runs.store import RunRecord

RULE = "What one run shows to be behind the best gets no more time; the others are trained with more seeds."


def write_choice(
    verdict: Verdict, data: Dataset, word: str, folder: Path, before: Sequence[tuple[str, str]] = ()
) -> Path:
    """Write ``index.html`` and ``choice.json`` into a folder, and return the page; also which pictures these were.

    before: (heading, sentence) pairs that come first, such as what has changed since the last choice. data: at any
    size; its pictures are shown as the winner was given them. Raises SimbenchError where the folder cannot
    be written.
    """
    sheet = Sheet(verdict.table.slug)
    page = rendered(
        "choice.html.j2",
        title=verdict.facts.name,
        data=data_in_words(verdict.facts),
        spent=spent_in_words(verdict),
        sentences=[*before, *sentences(verdict)],
        rule=RULE,
        heads=HEADS[2:],
        lines=_lines(verdict),
        left_out=left_out(verdict),
        notes=verdict.table.notes,
        figures=draw_tradeoffs(verdict.table, "latency"),
        asked=_asked(verdict, data, sheet),
        sheet=sheet,
        commands=commands(verdict, word),
        with_files=False,
    )
    write_bytes(folder / "index.html", page.encode(errors="backslashreplace"))
    known = Known.of(data)
    if known is not None:
        known.write(folder)
    write_json(folder / CHOICE, _facts(verdict, word, before))
    return folder / "index.html"


def _lines(verdict: Verdict) -> list[dict[str, Any]]:
    return [
        {"rank": row.rank, "words": cells[1], "name": row.name, "cells": cells[2:], "folders": _folders(row.records)}
        for row, cells in zip(verdict.table.rows, tried(verdict), strict=True)
    ]


def _folders(records: Iterable[RunRecord]) -> list[str]:
    return [str(record.folder) for record in records]


def _asked(verdict: Verdict, data: Dataset, sheet: Sheet) -> list[Question]:
    """Return the winner's worst and typical queries with what it found for them."""
    row = verdict.winner
    try:
        answers = read_answers(row.first)
    except DataError:
        return []
    size = row.first.result.spec.resize
    pictures = Pictures(data if size is None else data.at((size.height, size.width)), sheet)
    return questions({row: answers}, pictures if pictures.fit(answers) else None, KINDS[:0:-1])


def _facts(verdict: Verdict, word: str, before: Sequence[tuple[str, str]]) -> dict[str, Any]:
    winner = verdict.winner
    return {
        "data": word,
        "protocol": verdict.facts.protocol,
        "limits": verdict.limits,
        "winner": {
            "method": winner.first.result.method,
            "options": dict(verdict.rungs[winner.slug].options),
            winner.metric.name: winner.score,
            "interval": winner.interval(winner.metric.name),
            "runs": _folders(winner.records),
        },
        "tied": [_folders(rival.row.records) for rival in verdict.best.tied],
        "says": dict([*before, *sentences(verdict)]),
        "rows": [
            {**dict(zip(HEADS, cells, strict=True)), "name": row.name, "runs": _folders(row.records)}
            for row, cells in zip(verdict.table.rows, tried(verdict), strict=True)
        ],
        "left_out": left_out(verdict),
        "next": dict(commands(verdict, word)),
        "seconds": round(verdict.spent, 1),
        "budget_seconds": verdict.budget,
    }
