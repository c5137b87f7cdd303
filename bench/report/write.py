"""Tables as files, made from run folders alone: working ones beside the runs, published ones by name."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pandas as pd

from bench.contract import DataError, UsageError
from bench.evaluation.metrics.registry import DEFAULT
from bench.files import write_bytes, write_json, write_rows
from bench.report.aggregate.overall import Overall, overall_of
from bench.report.aggregate.overall_text import FIGURE, overall_section
from bench.report.compare.result_sets import PUBLISHED, TABLE, read_table
from bench.report.curves.curves import write_curves
from bench.report.figures.critical_difference import draw_overall
from bench.report.figures.tradeoff import draw_tradeoffs
from bench.report.latex import latex
from bench.report.recommend.answers import answers_of
from bench.report.recommend.answers_text import answers_page
from bench.report.tables.entries import table_runs
from bench.report.tables.export import as_json, as_rows
from bench.report.tables.frame import runs_frame, without_folders
from bench.report.tables.groups import Table, tables_of
from bench.report.tables.leaderboard import leaderboard
from bench.report.tables.published import Figure
from bench.report.tables.wording import days, in_spreadsheet, many, markdown_table
from bench.runs.store import RunRecord

_ROW = ("dataset", "protocol", "dataset_revision", "method", "key", "seed")
_NAMED = 5  # rows that a refusal names
_LISTED = re.compile(r"(?<=<!-- published -->\n).*?(?=<!-- /published -->)", re.DOTALL)
_INDEX = """# Published results

One folder a set. Each number of it was made by the runs that its `runs.csv` lists, a line a run with command, commit
and machine. `simbench leaderboard --publish NAME` writes a set, and the table below.

<!-- published -->
<!-- /published -->
"""


@dataclass(frozen=True)
class Board:
    """All runs as tables. frame: a row a run; overall: what they say together; columns: to show; figures: published."""

    records: Sequence[RunRecord]
    frame: pd.DataFrame
    tables: Sequence[Table]
    overall: Overall
    columns: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()


def board_of(runs: Path, rank_by: str = DEFAULT, columns: Sequence[str] = (), figures: Sequence[Figure] = ()) -> Board:
    """Return the tables of all runs under a folder.

    rank_by: the metric that rows are ranked by; columns: what the Markdown and LaTeX tables show, by name, else what is
    usual; figures: published ones to tell below the tables, beside those that are known.
    """
    records = _without_mended(table_runs(runs))
    frame = runs_frame(records, rank_by)
    tables = tables_of(records, frame) if records else []
    return Board(records, frame, tables, overall_of(tables), tuple(columns), tuple(figures))


def _without_mended(records: Sequence[RunRecord]) -> list[RunRecord]:
    """Return runs without those that failed of code, or of a file, that has been replaced and run again since."""
    latest: dict[str, tuple[str, bool]] = {}  # when, to the second, and whether it ended well: what did was later
    alike = [json.dumps(asdict(replace(run.result.spec, sources={})), sort_keys=True, default=list) for run in records]
    names = [f"{spec} {run.result.seed}" for spec, run in zip(alike, records, strict=True)]
    ended = [(run.result.provenance.date, run.status == "done") for run in records]
    for name, when in zip(names, ended, strict=True):
        latest[name] = max(latest.get(name, when), when)
    return [run for name, when, run in zip(names, ended, records, strict=True) if when[1] or when == latest[name]]


def write_board(board: Board, folder: Path) -> list[Path]:
    """Write every table into a folder, and return the Markdown files.

    ``runs.csv`` (a row a run), ``leaderboard.md``, the same as ``.csv`` (a row a method) and ``.json``, ``answers.md``
    (what the tables answer), the critical-difference diagram, and tables and figures of label budgets and robustness
    where there are runs of these. Without any run nothing is written: what is there may be of a folder that was meant.

    Raises:
        SimbenchError: The folder cannot be written.
    """
    if not board.records:
        return []
    _write_csv(folder / TABLE, board.frame)
    pages = {
        "answers.md": answers_page([answers_of(table) for table in board.tables], board.overall),
        "leaderboard.md": leaderboard(board.frame, overall_section(board.overall), board.columns, board.figures),
    }
    for name, text in pages.items():
        write_bytes(folder / name, text.encode())
    content = as_json(board.frame, asdict(board.overall))
    write_json(folder / "leaderboard.json", content)
    rows = [{name: in_spreadsheet(value) for name, value in row.items()} for row in as_rows(content)]
    write_rows(folder / "leaderboard.csv", rows)
    _write_diagram(folder / FIGURE, board.overall)
    return [*(folder / name for name in pages), *write_curves(board.records, folder)]


def write_latex(board: Board, folder: Path) -> Path:
    """Write ``leaderboard.tex`` and return where it is."""
    path = folder / "leaderboard.tex"
    write_bytes(path, latex(board.frame, board.overall, board.columns).encode())
    return path


def published_folder(name: str) -> Path:
    """Return where the published set of a name lies. Raises UsageError for a name that is none."""
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise UsageError(f"--publish takes the name of a folder in {PUBLISHED}/, such as standard, got {name!r}")
    return PUBLISHED / name


def refuse_to_drop(frame: pd.DataFrame, folder: Path) -> None:
    """Raise DataError if a published set has a run that the table of runs lacks, or has only as a failed one."""
    if not (folder / TABLE).is_file():
        return
    old = read_table(folder / TABLE)
    there = {status: set(_rows(frame[frame["status"] == status])) for status in ("done", "failed")}
    lost: dict[str, list[str]] = {}
    for row, status in zip(_rows(old), old["status"], strict=True):
        if row not in there["done"] and (status == "done" or row not in there["failed"]):
            dataset, protocol, _, method, key, seed = row
            lost.setdefault(f"{dataset} · {protocol} · {method} {key}", []).append(seed)
    if lost:
        named = [f"{row} (seed {', '.join(seeds)})" for row, seeds in lost.items()]
        more = f"; and {many(len(named) - _NAMED, 'row')} more" if len(named) > _NAMED else ""
        raise DataError(
            f"{folder} has {many(len(named), 'row')} that no finished run here has: {'; '.join(named[:_NAMED])}{more}; "
            "run them again, publish under another name, or drop them with --force"
        )


def publish(board: Board, folder: Path, *, force: bool = False) -> list[Path]:
    """Write a set of tables to be kept, with a figure of quality against latency a table, and list it in the index.

    Args:
        board: The tables.
        folder: Where the set lies. Its earlier figures are removed.
        force: Drop published rows that the tables lack.

    Returns:
        The Markdown files written.

    Raises:
        DataError: There is no run, or the tables lack rows of the set.
    """
    if board.frame.empty:
        raise DataError("no runs to publish; start with: simbench run -m pixels -m random -m arcface -d digits")
    if not force:
        refuse_to_drop(board.frame, folder)
    for figure in (folder / "figures").glob("*.svg"):
        figure.unlink()
    written = write_board(board, folder)
    for table in board.tables:
        for drawn in draw_tradeoffs(table, "latency"):
            write_bytes(folder / "figures" / f"{drawn.slug}.svg", drawn.svg)
    return [*written, _write_index(folder.parent)]


def _write_index(root: Path) -> Path:
    """Renew the table of sets in ``README.md``, and leave what stands around it as it is."""
    path = root / "README.md"
    text = path.read_text(encoding="utf-8") if path.is_file() else _INDEX
    rows = [_listed(file.parent.name, read_table(file)) for file in sorted(root.glob(f"*/{TABLE}"))]
    heads = ["set", "tables", "runs", "made", "commit", "machine"]
    listed = markdown_table(heads, rows, "llrl")
    write_bytes(path, _LISTED.sub(lambda _: f"\n{listed}\n\n", text).encode())
    return path


def _listed(name: str, frame: pd.DataFrame) -> list[str]:
    """Return a published set as a row of the index."""
    told = [
        f"{dataset} · {protocol} ({many(same['method'].nunique(), 'method')})"
        for (dataset, protocol), same in frame.groupby(["dataset", "protocol"])
    ]
    failed = int((frame["status"] != "done").sum())
    runs = f"{len(frame):,}" + (f", {failed:,} failed" if failed else "")
    commits = sorted({str(commit)[:10] for commit in frame["commit"].dropna()})
    machines = sorted(set(frame["cpu"].dropna()))
    return [
        f"[{name}]({name}/leaderboard.md)",
        ", ".join(told),
        runs,
        days(frame["date"]),
        ", ".join(commits),
        ", ".join(machines),
    ]


def _rows(frame: pd.DataFrame) -> list[tuple[str, ...]]:
    """Return who each run is, as text."""
    return [tuple(map(str, row)) for row in frame[list(_ROW)].itertuples(index=False)]


def _write_diagram(path: Path, overall: Overall) -> None:
    """Write the diagram, or take away one that the tables no longer give."""
    if not overall.comparable:
        path.unlink(missing_ok=True)
        return
    write_bytes(path, draw_overall(overall).svg)


def _write_csv(path: Path, frame: pd.DataFrame) -> None:
    lists = [name for name in ("flags", "deviations", "leaks") if name in frame]
    frame = frame.assign(**{name: frame[name].map("; ".join) for name in lists})
    if "options" in frame:
        frame = frame.assign(options=frame["options"].map(without_folders))
    write_bytes(path, frame.map(in_spreadsheet).to_csv(index=False, lineterminator="\n").encode())
