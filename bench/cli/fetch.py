"""``simbench fetch``: get a data set's files, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from bench.cli.options import data_places
from bench.cli.terminal import Terminal
from bench.contract import DataPlace, Fetches
from bench.places import cache_folder


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="DATASET...")
@data_places
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def fetch(names: Sequence[str], *, data_root: str | None, image_size: str | None, debug: bool) -> None:
    """Find or download the files of data sets, check them, and say where they are.

    \b
    simbench fetch fashionmnist
    simbench fetch hf:Matthijs/snacks
    """
    from bench.data.prefixes import plugin_of
    from bench.options import build
    from bench.registry import get_dataset

    del image_size, debug  # accepted like everywhere, of no effect here
    root = Path(data_root).expanduser() if data_root else None
    place = DataPlace(root=root, cache=cache_folder(), progress=Terminal(quiet=False).progress)
    for name in names:
        plugin, options = plugin_of(name) or (name, {})
        loader = build(get_dataset(plugin), options, owner=f"data set {plugin}")
        where = loader.fetch(place) if isinstance(loader, Fetches) else "needs no file"
        click.echo(f"{name}: {where}")
