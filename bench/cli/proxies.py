"""``simbench proxies``: how well do numbers that need no labels, or few, foretell which method is best?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bench.cli.options import Given, configuration, folders
from bench.cli.terminal import fitted, terminal_width


@click.command()
@folders
@configuration
def proxies(*, given: Given, **flags: Any) -> None:
    """Compare proxies with the truth on all finished runs: rank correlation with map, and regret.

    Proxies are computed from vectors: the nearest of two or five labelled images a class, agreement with the other
    methods' neighbours, effective rank, evenness (no hubs). Regret is the map that is lost by using the method that a
    proxy puts first. Beside them stands what looks at no picture: the order of the same methods on the other data
    sets, and chance. Intervals are over tables (95 %, bootstrap).

    \b
    simbench proxies
    simbench proxies --runs /shared/runs
    """
    from bench.choose.foretelling import foretold
    from bench.contract import DataError
    from bench.report.tables.entries import require_runs, table_runs
    from bench.report.tables.frame import runs_frame
    from bench.report.tables.groups import tables_of
    from bench.report.tables.wording import many, markdown_table

    runs = Path(given.load(flags).settings.runs)
    records = table_runs(runs)
    require_runs(records, runs)
    found, titles = foretold(tables_of(records, runs_frame(records)))
    if not titles:
        raise DataError(f"{runs}: no table with three rows that kept their vectors; run more methods on one data set")
    rows = [
        [one.name, *_mean(one.correlation, one.interval(one.correlation)), *_mean(one.regret, one.interval(one.regret))]
        for one in found
    ]
    heads = ["proxy", "rank correlation", "95 %", "regret", "95 %"]
    click.echo(fitted(markdown_table(heads, rows, "lr"), terminal_width()))
    click.echo(f"\n{many(len(titles), 'table')}: {'; '.join(titles)}")


def _mean(values: Any, ends: tuple[float, float]) -> list[str]:
    import numpy as np

    known = values[~np.isnan(values)]
    mean = f"{known.mean():.3f}" if len(known) else "-"
    return [mean, "-" if np.isnan(ends[0]) else f"{ends[0]:.3f} to {ends[1]:.3f}"]
