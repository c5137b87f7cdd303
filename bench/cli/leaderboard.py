"""``simbench leaderboard``: rebuild every table from the run folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from bench.cli import options
from bench.cli.options import Given, option
from bench.cli.run import go_on_apart
from bench.cli.terminal import leaderboard_text
from bench.contract import UsageError


@click.command()
@options.folders
@options.publishing
@options.wide_tables
@options.ranking
@options.shown_columns
@click.option("--json", "as_json", is_flag=True, help="Print the table of runs as JSON.")
@click.option("--latex", "as_latex", is_flag=True, help="Write leaderboard.tex as well: booktabs tables for a paper.")
@option("--figures", multiple=True, metavar="FILE|FOLDER", help="MTEB's result files, told below; repeatable.")
@options.configuration
def leaderboard(
    *,
    publish: str | None,
    force: bool,
    wide: bool,
    rank_by: str,
    columns: Sequence[str],
    as_json: bool,
    as_latex: bool,
    figures: Sequence[str],
    given: Given,
    **flags: Any,
) -> None:
    """Rebuild the tables of all runs, beside them, and print the most of them that fits the terminal.

    answers.md answers which method to use under which constraint, with the evidence; leaderboard.md has a table for
    each data set and protocol, and one over all data sets; leaderboard.json and leaderboard.csv are the same for
    programs; runs.csv has a row a run. Failed runs stand in all of them with their reason; answers.md counts them. The
    same runs give the same files.

    With --publish the tables go to results/NAME, which is for committing; nothing else writes there. A set that has
    rows that these runs lack is left as it is, unless --force drops them.

    With --figures, what MTEB's result files say of a table's very question (hit@k of MIEB's CUB200I2IRetrieval and the
    like) stands below it in leaderboard.md as published and not run here, with its file. It is in no row and no rank.

    \b
    simbench leaderboard
    simbench leaderboard --runs /shared/runs --report-dir /tmp/tables
    simbench leaderboard --latex
    simbench leaderboard --publish standard
    simbench leaderboard --figures results/facebook__dinov2-small
    simbench leaderboard --rank-by hit@1 --columns map,hit@1,ms,bytes
    """
    from bench.report.aggregate.overall_text import overall_section
    from bench.report.tables.entries import require_runs
    from bench.report.tables.mteb_figures import read_figures
    from bench.report.write import board_of, write_board, write_latex
    from bench.report.write import publish as write_published

    go_on_apart(given, [])
    settings = given.load(flags).settings
    target = published_target(publish, force=force)
    board = board_of(Path(settings.runs), rank_by, columns, read_figures(figures))
    require_runs(board.records, Path(settings.runs))
    folder = target or settings.report
    written = write_published(board, folder, force=force) if target else write_board(board, folder)
    if as_latex:
        written.append(write_latex(board, folder))
    if as_json:
        click.echo(board.frame.to_json(orient="records", indent=2))
    else:
        click.echo(leaderboard_text(board.frame, overall_section(board.overall), wide=wide, columns=columns))
    more = "" if wide or as_json else "; all columns: --wide"
    click.echo(f"\nwritten: {', '.join(map(str, written))}{more}", err=as_json)


def published_target(name: str | None, *, force: bool) -> Path | None:
    """Return the folder that ``--publish`` names, None without it. Raises UsageError for --force alone, or a path."""
    from bench.report.write import published_folder

    if name is None and force:
        raise UsageError("--force drops rows of a published set; give --publish NAME too")
    return None if name is None else published_folder(name)
