"""From run folders to ``report.html``: gather, draw, render, write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.contract import DataError, Dataset, Progress, SimbenchError
from bench.evaluation.metrics.registry import DEFAULT
from bench.files import write_bytes
from bench.naming import shortened
from bench.report.aggregate.overall import overall_of
from bench.report.figures.critical_difference import draw_overall
from bench.report.figures.curves import draw_overview
from bench.report.figures.picture_grid import write_reconstructions
from bench.report.figures.style import Drawn, with_bitmaps
from bench.report.figures.tradeoff import draw_tradeoffs
from bench.report.figures.vectors import PlaneOf, principal_plane
from bench.report.html.details import Detail, Shared, detail_of
from bench.report.html.leaderboard import board, finding_of, overview
from bench.report.html.origins import origins
from bench.report.html.rendering import TableView, render
from bench.report.html.retrievals import Question, comparable, questions
from bench.report.html.thumbnails import Pictures, Sheet
from bench.report.tables.entries import require_runs, table_runs
from bench.report.tables.frame import runs_frame
from bench.report.tables.groups import Answers, Row, Table, read_answers, tables_of
from bench.runs.sanity_checks import alarms
from bench.runs.store import RunRecord

OpenImages = Callable[[RunRecord], Dataset]


@dataclass(frozen=True)
class Written:
    """What was written: the page, its size in bytes, how many figures it has, and what is left out and why."""

    page: Path
    size: int
    figures: int
    missing: tuple[str, ...]


def write_report(
    runs: Path,
    folder: Path,
    open_images: OpenImages | None,
    progress: Progress,
    *,
    plane: PlaneOf = principal_plane,
    rank_by: str = DEFAULT,
    with_files: bool = False,
) -> Written:
    """Write ``report.html`` into a folder, from all runs under ``runs``.

    open_images: loads the data set that a run was scored on, or raises SimbenchError where it cannot; None: no picture
    is looked for. plane: how vectors are laid out on the embedding maps; rank_by: the metric that rows are ranked by;
    with_files: also write each figure, and each decoding run's reconstructions, into ``figures/``. Raises SimbenchError
    if there is no run, the folder cannot be written, or no run has the metric.
    """
    records = table_runs(runs)
    require_runs(records, runs)
    tables = tables_of(records, runs_frame(records, rank_by))
    found = alarms(records)
    steps = progress(tables, total=len(tables), what="report")
    overall = overall_of(tables)
    with with_bitmaps(with_files):
        views = [_view(one, runs, folder, open_images, found=found, plane=plane, progress=progress) for one in steps]
        diagram = draw_overall(overall) if overall.comparable else None
    newest = max(record.result.provenance.date[:10] for record in records)  # the same runs give the same page
    page = render(views, overview(tables), newest, overall, diagram, with_files=with_files).encode(
        errors="backslashreplace"
    )
    figures = [*([diagram] if diagram else []), *(figure for view in views for figure in view.figures)]
    if with_files:
        _write_figures(figures, records, folder / "figures")
    write_bytes(folder / "report.html", page)
    missing = tuple(f"{view.table.title}: {reason}" for view in views for reason in view.missing)
    return Written(folder / "report.html", len(page), len(figures), missing)


def _write_figures(figures: Sequence[Drawn], records: Sequence[RunRecord], folder: Path) -> None:
    for figure in figures:
        write_bytes(folder / f"{figure.slug}.svg", figure.svg)
        write_bytes(folder / f"{figure.slug}.png", figure.png)
    for record in records:
        run = record.result
        name = shortened("-".join([*run.place[:2], run.method, run.key, f"seed{run.seed}"]))
        write_reconstructions(record, folder / f"{name}-reconstructions.png")


def _view(
    table: Table,
    runs: Path,
    folder: Path,
    open_images: OpenImages | None,
    *,
    found: dict[Path, tuple[str, ...]],
    plane: PlaneOf,
    progress: Progress,
) -> TableView:
    columns, lines = board(table)
    answers, missing = _answers(table)
    sheet = Sheet(table.slug)
    pictures, reason = _pictures(answers, open_images, sheet)
    missing += [reason] if reason else []
    same, others = comparable(answers) if answers else ({}, [])
    if others:
        missing.append(f"asked other queries than {table.rows[0].name}, and so not beside it: {', '.join(others)}")
    asked = questions(same, pictures) if same else []
    details, mapped = _details(same, asked, pictures, sheet, plane=plane, missing=missing, progress=progress)
    return TableView(
        table,
        finding_of(table),
        tuple(columns),
        tuple(lines),
        tuple(draw_tradeoffs(table)),
        draw_overview(table),
        tuple(asked),
        tuple(details),
        tuple(mapped),
        tuple((row, tuple(origins(row, runs, folder, found))) for row in table.rows),
        sheet,
        tuple(missing),
    )


def _answers(table: Table) -> tuple[list[tuple[Row, Answers]], list[str]]:
    """Return each row's answers by its first seed, and why the others have none."""
    known, missing = [], []
    for row in table.rows:
        try:
            known.append((row, read_answers(row.first)))
        except DataError as error:
            missing.append(f"{row.name}: {error}")
    return known, missing


def _pictures(
    answers: Sequence[tuple[Row, Answers]], open_images: OpenImages | None, sheet: Sheet
) -> tuple[Pictures | None, str]:
    """Return a table's pictures, or why there are none."""
    if not answers:
        return None, ""
    if open_images is None:
        return None, "pictures of queries and neighbours are left out, as asked"
    row, first = answers[0]
    try:
        pictures = Pictures(open_images(row.first), sheet)
    except SimbenchError as error:
        return None, f"pictures of queries and neighbours are left out: {error}"
    if not pictures.fit(first):
        return None, "pictures of queries and neighbours are left out: the data set has other ids than the run"
    return pictures, ""


def _details(
    same: dict[Row, Answers],
    asked: Sequence[Question],
    pictures: Pictures | None,
    sheet: Sheet,
    *,
    plane: PlaneOf,
    missing: list[str],
    progress: Progress,
) -> tuple[list[Detail], list[tuple[int, int, str, str]]]:
    """Return every row's detail, and the images on their maps: tile's column and row, class, id."""
    if not same:
        return [], []
    first = next(iter(same.values()))
    shared = Shared.of(first, asked, plane)
    details = []
    for row, answers in progress(same.items(), total=len(same), what="methods"):
        try:
            details.append(detail_of(row, answers, shared, pictures, sheet))
        except DataError as error:
            missing.append(f"{row.name}: {error}")
    mapped = []
    for at in shared.mapped.tolist():
        tile = pictures.item(at) if pictures else None
        label = first.classes[first.gallery_labels[at]]
        mapped.append((tile.x if tile else -1, tile.y if tile else -1, label, str(first.gallery_ids[at])))
    return details, mapped
