"""``simbench fetch``: get a data set's files, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from bench.cli.options import Given, configuration, data_root
from bench.cli.run import go_on_apart
from bench.cli.terminal import Terminal
from bench.contract import Fetches
from bench.environment import cache_folder


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="DATASET...")
@data_root
@configuration
def fetch(names: Sequence[str], *, given: Given, **flags: Any) -> None:
    """Find or download the files of data sets, check them, and say where they are.

    \b
    simbench fetch fashionmnist
    simbench fetch hf:Matthijs/snacks
    """
    from bench.runs.run_plan import data_place, loader_for

    go_on_apart(given, names)
    checked = given.load(flags)
    place = data_place(checked.settings, Terminal(quiet=False).progress, cache_folder())
    for name in names:
        loader = loader_for(name, checked.datasets)
        where = loader.fetch(place) if isinstance(loader, Fetches) else "needs no file"
        click.echo(f"{name}: {where}")
