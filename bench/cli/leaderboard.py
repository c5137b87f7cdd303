"""``simbench leaderboard``: rebuild every table from the run folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from bench.cli.options import configuration, folders


@click.command()
@folders
@click.option("--json", "as_json", is_flag=True, help="Print the table of runs as JSON.")
@configuration
def leaderboard(
    *,
    runs: str | None,
    results: str | None,
    as_json: bool,
    config: Path | None,
    overrides: Sequence[str],
    debug: bool,
) -> None:
    """Rebuild results/ from all runs: runs.csv, one CSV a data set, leaderboard.md, pictures; print the tables.

    \b
    simbench leaderboard
    simbench leaderboard --runs /shared/runs --results /tmp/tables
    """
    from bench.config import load_config
    from bench.report.leaderboard import tables
    from bench.report.results import write_results

    del debug  # read where errors are shown
    settings = load_config(config, overrides=overrides, flags={"runs": runs, "results": results}).settings
    frame = write_results(Path(settings.runs), Path(settings.results))
    click.echo(frame.to_json(orient="records", indent=2) if as_json else tables(frame))
    click.echo(f"\nleaderboard: {Path(settings.results) / 'leaderboard.md'}", err=as_json)
