"""``simbench list``: what there is, without importing any of it."""

from __future__ import annotations

import click

from bench.registry import DATASET, METHOD, Kind, list_plugins


@click.command("list")
@click.argument("what", type=click.Choice(["all", "methods", "datasets"]), default="all")
@click.option("-v", "--verbose", is_flag=True, help="Also every option with its default (imports the plugins).")
def listing(what: str, *, verbose: bool) -> None:
    """List methods and data sets.

    \b
    simbench list
    simbench list methods -v
    """
    shown = {"methods": [METHOD], "datasets": [DATASET], "all": [METHOD, DATASET]}[what]
    for kind in shown:
        click.echo(f"{kind.word}s:")
        plugins = list_plugins(kind)
        width = max(len(plugin.name) for plugin in plugins)
        for plugin in plugins:
            origin = "" if plugin.origin == "simbench" else f"  [{plugin.origin}]"
            click.echo(f"  {plugin.name:{width}}  {plugin.summary}{origin}")
            if verbose:
                _options(kind, plugin.name)
    if what != "methods":
        click.echo("  or a path: a folder with one subfolder a class, a CSV manifest, or a folder with JSON manifests")


def _options(kind: Kind, name: str) -> None:
    from bench.options import values_of
    from bench.registry import get_dataset, get_method

    cls = get_method(name) if kind is METHOD else get_dataset(name)
    for option, value in values_of(cls()).items():
        click.echo(f"      -o {option}={value}" if kind is METHOD else f"      --set datasets.{name}.{option}={value}")
