"""``simbench fetch``: get a data set's files, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from bench.cli.options import configuration, option
from bench.cli.terminal import Terminal
from bench.contract import DataPlace, Fetches
from bench.places import cache_folder


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="DATASET...")
@option("--data-root", metavar="DIR", envvar="SIMBENCH_DATA", help="Where data sets lie (also SIMBENCH_DATA).")
@configuration
def fetch(
    names: Sequence[str], *, data_root: str | None, config: Path | None, overrides: Sequence[str], debug: bool
) -> None:
    """Find or download the files of data sets, check them, and say where they are.

    \b
    simbench fetch fashionmnist
    simbench fetch hf:Matthijs/snacks
    """
    from bench.config import load_config
    from bench.runs.matrix import loader_for

    del debug  # read by `bench.cli.main`
    checked = load_config(config, overrides=overrides, flags={"data_root": data_root})
    root = Path(checked.settings.data_root).expanduser() if checked.settings.data_root else None
    place = DataPlace(root=root, cache=cache_folder(), progress=Terminal(quiet=False).progress)
    for name in names:
        loader = loader_for(name, checked.datasets)
        where = loader.fetch(place) if isinstance(loader, Fetches) else "needs no file"
        click.echo(f"{name}: {where}")
