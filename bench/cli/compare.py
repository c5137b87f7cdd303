"""``simbench compare``: are these methods different on the same queries, and by how much?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.options import Given, configuration, option, wide_tables
from bench.cli.run import go_on_apart
from bench.cli.terminal import show
from bench.contract import UsageError

if TYPE_CHECKING:
    from bench.report.compare.regressions import Against


@click.command()
@click.argument("words", nargs=-1, metavar="[REFERENCE RUN_OR_METHOD...]")
@click.option(
    "--against",
    metavar="OLD",
    help="Compare all runs with those of OLD: a folder of runs, a published set, or a commit of this repository.",
)
@click.option(
    "--across",
    is_flag=True,
    help="Pair what two runs on different states of a folder were both asked, by id: what changed, and no test.",
)
@click.option(
    "--metric", "--rank-by", "metric", default="map", metavar="NAME", help="Any metric with per-query values."
)
@click.option(
    "--changed",
    type=click.IntRange(min=0),
    default=5,
    metavar="N",
    help="How many of the queries that differ most to name.",
)
@wide_tables
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@option("--runs", metavar="DIR", help="Where runs are kept.  [default: runs]")
@configuration
def compare(
    *,
    words: Sequence[str],
    against: str | None,
    across: bool,
    metric: str,
    changed: int,
    wide: bool,
    as_json: bool,
    runs: str | None,
    given: Given,
) -> None:
    """Compare methods with the first one, query by query: difference, interval, p-values, verdict.

    Each word is a run's folder, a folder above the runs of several seeds, or a method. A method with several rows takes
    in brackets what sets one apart: options, dataset, protocol, limit, key. Without, it is the row whose options are
    the defaults. Several seeds are averaged for each query. All must have been asked the same queries of the same data
    by one protocol.

    Runs of several draws of new classes (--split-seeds) are paired within each draw; interval and verdict are over
    draws, as in the tables. [split_seed=0] takes one draw.

    With --against and no words: what got better or worse since OLD, cell by cell, and query by query where both sides
    are run folders; a published set, or a commit (its set standard; COMMIT:results/NAME for another), is compared by
    the values in its table.

    With --across, the runs are an old and a new one on a folder that has changed in between: the queries that both were
    asked, which of them got better and worse most, and what the galleries have in common. It is not a fair test.

    \b
    simbench compare triplet arcface supcon
    simbench compare 'triplet[encoder=resnet]' 'triplet[encoder=resnet50, dataset=digits]'
    simbench compare runs/digits/holdout/hog runs/digits/holdout/pixels --metric hit@1
    simbench compare runs/digits/loo/arcface/1781976899/seed0 runs/digits/loo/arcface/1781976899/seed1 --json
    simbench compare --across runs/shoes/loo/hog/OLD runs/shoes/loo/hog/NEW
    simbench compare --against HEAD~3
    simbench compare --against results/unseen
    simbench compare --against ../before/runs --runs runs --metric map@10
    """
    from bench.report.compare.across import across_text, compare_across
    from bench.report.compare.compared import compared_text
    from bench.report.compare.named_rows import find_entry
    from bench.report.compare.over_draws import compare_rows
    from bench.report.compare.regressions import against_text

    go_on_apart(given, [])
    root = given.load({"runs": runs}).settings.runs
    if against is not None:
        if words or across:
            raise UsageError("--against compares all runs; leave out the names, or compare two folders without it")
        trees = _compare_trees(against, root, metric, changed)
        _tell(asdict(trees) if as_json else against_text(trees), wide=wide)
        return
    if len(words) < 2:
        raise UsageError(
            "give two runs or methods to compare, or more: the first is what the others are compared with "
            "(or --against OLD, for all runs)"
        )
    entries = [find_entry(word, Path(root)) for word in words]
    if across:
        if len(entries) != 2:
            raise UsageError(f"--across takes two runs, the old and the new one, got {len(entries)}")
        pair = compare_across(entries[0], entries[1], metric, changed=changed)
        _tell(asdict(pair) if as_json else across_text(pair), wide=wide)
        return
    found = compare_rows(entries, metric, changed=changed)
    _tell(asdict(found) if as_json else compared_text(found), wide=wide)


def _tell(found: str | dict[str, Any], *, wide: bool) -> None:
    """Print a text, or what is no text as JSON."""
    if isinstance(found, str):
        show(found, wide=wide)
    else:
        click.echo(json.dumps(found, indent=2))


def _compare_trees(old: str, new: str, metric: str, changed: int) -> Against:
    from bench.report.compare.regressions import compare_trees
    from bench.report.compare.result_sets import open_tree

    if Path(old).exists() and Path(old).resolve() == Path(new).resolve():
        raise UsageError(f"{old} is both the old and the new results; give the new ones with --runs")
    if not Path(new).exists():
        raise UsageError(f"no runs in {new}; give the new results with --runs")
    return compare_trees(open_tree(old), open_tree(new), metric, changed=changed)
