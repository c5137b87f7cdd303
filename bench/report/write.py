"""The ``results/`` folder: every table and picture in it is made from run folders and from nothing else."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from bench.evaluation.metrics.registry import DEFAULT
from bench.files import write_bytes, write_json, write_rows
from bench.report.aggregate.overall import Overall, overall_of
from bench.report.aggregate.overall_text import FIGURE, overall_section
from bench.report.curves.curves import write_curves
from bench.report.figures.picture_grid import write_reconstructions
from bench.report.latex import latex
from bench.report.recommend.answers import answers_of
from bench.report.recommend.answers_text import MARK, answers_page
from bench.report.tables.export import as_json, as_rows
from bench.report.tables.frame import runs_frame, without_folders
from bench.report.tables.groups import tables_of
from bench.report.tables.leaderboard import leaderboard
from bench.runs.store import RunRecord, all_runs

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Board:
    """All runs as tables. frame: a row a run; overall: what they say together; curves: label budgets and robustness."""

    frame: pd.DataFrame
    overall: Overall
    curves: Sequence[Path]


def write_results(runs: Path, results: Path, rank_by: str = DEFAULT, columns: Sequence[str] = ()) -> pd.DataFrame:
    """Rebuild the results folder from all runs under ``runs`` and return the table of runs.

    rank_by: the metric that rows are ranked by; columns: what the Markdown tables show, by name, else what is usual.
    Writes ``runs.csv`` (a row a run), ``<dataset>.csv`` (the same for one data set), ``leaderboard.md``, the same as
    ``.csv`` (a row a method) and ``.json``, ``README.md`` (what the tables answer), the critical-difference diagram,
    tables and figures of label budgets and robustness where there are runs of these, and a row of reconstructions for
    each decoding method. Raises SimbenchError if the folder cannot be written.
    """
    return write_board(runs, results, rank_by, columns).frame


def write_board(runs: Path, results: Path, rank_by: str = DEFAULT, columns: Sequence[str] = ()) -> Board:
    """Do what ``write_results`` does, and return what the tables were made from."""
    records = all_runs(runs)
    frame = runs_frame(records, rank_by)
    tables = tables_of(records, frame) if records else []
    overall = overall_of(tables)
    _write_csv(results / "runs.csv", frame)
    for name, group in frame.groupby("dataset"):
        _write_csv(results / f"{name}.csv", group.dropna(axis="columns", how="all"))
    write_bytes(results / "leaderboard.md", leaderboard(frame, overall_section(overall), columns).encode())
    content = as_json(frame, asdict(overall))
    write_json(results / "leaderboard.json", content)
    write_rows(results / "leaderboard.csv", as_rows(content))
    _write_answers(results / "README.md", answers_page([answers_of(table) for table in tables], overall))
    _write_diagram(results / FIGURE, overall)
    for record in records:
        write_reconstructions(record, results / "figures" / f"{_name(record)}-reconstructions.png")
    return Board(frame, overall, write_curves(records, results))


def write_latex(board: Board, results: Path, columns: Sequence[str] = ()) -> Path:
    """Write ``leaderboard.tex`` and return where it is."""
    path = results / "leaderboard.tex"
    write_bytes(path, latex(board.frame, board.overall, columns).encode())
    return path


def _write_answers(path: Path, text: str) -> None:
    """Write the answers, unless somebody else's README stands there."""
    if path.is_file() and not path.read_text(encoding="utf-8", errors="replace").startswith(MARK):
        _LOG.warning("%s was not made by simbench and stays as it is: no answers are written", path)
        return
    write_bytes(path, text.encode())


def _write_diagram(path: Path, overall: Overall) -> None:
    """Write the diagram, or take away one that the tables no longer give."""
    if not overall.comparable:
        path.unlink(missing_ok=True)
        return
    from bench.report.figures.critical_difference import draw_overall  # noqa: PLC0415 - matplotlib, after every run of one data set

    write_bytes(path, draw_overall(overall).svg)


def _write_csv(path: Path, frame: pd.DataFrame) -> None:
    if "options" in frame:
        frame = frame.assign(options=frame["options"].map(without_folders))
    write_bytes(path, frame.to_csv(index=False, lineterminator="\n").encode())


def _name(run: RunRecord) -> str:
    return (
        "-".join(str(run.content[part]) for part in ("dataset", "protocol", "method", "key"))
        + f"-seed{run.content['seed']}"
    )
