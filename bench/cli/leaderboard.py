"""``simbench leaderboard``: rebuild every table from the run folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from bench.cli.options import configuration, folders, ranking, shown_columns


@click.command()
@folders
@ranking
@shown_columns
@click.option("--json", "as_json", is_flag=True, help="Print the table of runs as JSON.")
@click.option("--latex", "as_latex", is_flag=True, help="Write leaderboard.tex as well: booktabs tables for a paper.")
@configuration
def leaderboard(
    *,
    runs: str | None,
    results: str | None,
    rank_by: str,
    columns: Sequence[str],
    as_json: bool,
    as_latex: bool,
    config: Path | None,
    overrides: Sequence[str],
    debug: bool,
) -> None:
    """Rebuild results/ from all runs and print the tables.

    README.md answers which method to use under which constraint, with the evidence; leaderboard.md has a table for each
    data set and protocol, and one over all data sets; leaderboard.json and leaderboard.csv are the same for programs;
    runs.csv has a row a run. Failed runs stand in all of them with their reason; README.md counts them. The same runs
    give the same files.

    \b
    simbench leaderboard
    simbench leaderboard --runs /shared/runs --results /tmp/tables
    simbench leaderboard --latex
    simbench leaderboard --rank-by hit@1 --columns map,hit@1,ms,bytes
    """
    from bench.config import load_config
    from bench.report.aggregate.overall_text import overall_section
    from bench.report.tables.leaderboard import tables
    from bench.report.write import write_board, write_latex

    del debug  # read where errors are shown
    settings = load_config(config, overrides=overrides, flags={"runs": runs, "results": results}).settings
    folder = Path(settings.results)
    board = write_board(Path(settings.runs), folder, rank_by, columns)
    written = [folder / "README.md", folder / "leaderboard.md", *board.curves]
    if as_latex:
        written.append(write_latex(board, folder, columns))
    if as_json:
        click.echo(board.frame.to_json(orient="records", indent=2))
    else:
        click.echo("\n\n".join(text for text in (overall_section(board.overall), tables(board.frame, columns)) if text))
    click.echo(f"\nwritten: {', '.join(map(str, written))}", err=as_json)
