"""``simbench leaderboard``: rebuild every table from the run folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from bench.cli.options import configuration, folders, published_target, publishing, wide_tables
from bench.cli.terminal import leaderboard_text


@click.command()
@folders
@publishing
@wide_tables
@click.option("--json", "as_json", is_flag=True, help="Print the table of runs as JSON.")
@click.option("--latex", "as_latex", is_flag=True, help="Write leaderboard.tex as well: booktabs tables for a paper.")
@configuration
def leaderboard(
    *,
    runs: str | None,
    report_dir: str | None,
    publish: str | None,
    force: bool,
    wide: bool,
    as_json: bool,
    as_latex: bool,
    config: Path | None,
    overrides: Sequence[str],
    debug: bool,
) -> None:
    """Rebuild the tables of all runs, beside them, and print the most of them that fits the terminal.

    answers.md answers which method to use under which constraint, with the evidence; leaderboard.md has a table for
    each data set and protocol, and one over all data sets; leaderboard.json and leaderboard.csv are the same for
    programs; runs.csv has a row a run. Failed runs stand in all of them with their reason; answers.md counts them. The
    same runs give the same files.

    With --publish the tables go to results/NAME, which is for committing; nothing else writes there. A set that has
    rows that these runs lack is left as it is, unless --force drops them.

    \b
    simbench leaderboard
    simbench leaderboard --runs /shared/runs --report-dir /tmp/tables
    simbench leaderboard --latex
    simbench leaderboard --publish standard
    """
    from bench.config import load_config
    from bench.report.aggregate.overall_text import overall_section
    from bench.report.write import board_of, write_board, write_latex
    from bench.report.write import publish as write_published

    del debug  # read where errors are shown
    settings = load_config(config, overrides=overrides, flags={"runs": runs, "report_dir": report_dir}).settings
    target = published_target(publish, force=force)
    board = board_of(Path(settings.runs))
    folder = target or settings.report
    written = write_published(board, folder, force=force) if target else write_board(board, folder)
    if as_latex:
        written.append(write_latex(board, folder))
    if as_json:
        click.echo(board.frame.to_json(orient="records", indent=2))
    else:
        click.echo(leaderboard_text(board.frame, overall_section(board.overall), wide=wide))
    more = "" if wide or as_json else "; all columns: --wide"
    click.echo(f"\nwritten: {', '.join(map(str, written))}{more}", err=as_json)
