"""``simbench compare``: are these methods different on the same queries, and by how much?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from bench.cli.options import configuration, option
from bench.contract import UsageError


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="REFERENCE RUN_OR_METHOD...")
@click.option("--metric", default="map", show_default=True, metavar="NAME", help="Any metric with per-query values.")
@click.option(
    "--changed",
    type=click.IntRange(min=0),
    default=5,
    show_default=True,
    metavar="N",
    help="How many of the queries that differ most to name.",
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@option("--runs", metavar="DIR", help="Where runs are kept.  [default: runs]")
@configuration
def compare(
    *,
    words: Sequence[str],
    metric: str,
    changed: int,
    as_json: bool,
    runs: str | None,
    config: Path | None,
    overrides: Sequence[str],
    debug: bool,
) -> None:
    """Compare methods with the first one, query by query: difference, interval, p-values, verdict.

    Each word is a run's folder, a folder above the runs of several seeds, or a method with runs of one setting. Several
    seeds are averaged for each query. All must have been asked the same queries of the same data by one protocol.

    \b
    simbench compare triplet arcface supcon
    simbench compare runs/digits/holdout/hog runs/digits/holdout/pixels --metric hit@1
    simbench compare runs/digits/loo/arcface/1781976899/seed0 runs/digits/loo/arcface/1781976899/seed1 --json
    """
    from bench.config import load_config
    from bench.report.compared import compare_entries
    from bench.report.compared_text import as_text
    from bench.report.entries import find_entry

    del debug  # read where errors are shown
    if len(words) < 2:
        raise UsageError("give two runs or methods to compare, or more: the first is what the others are compared with")
    root = Path(load_config(config, overrides=overrides, flags={"runs": runs}).settings.runs)
    found = compare_entries([find_entry(word, root) for word in words], metric, changed=changed)
    click.echo(json.dumps(asdict(found), indent=2) if as_json else as_text(found))
