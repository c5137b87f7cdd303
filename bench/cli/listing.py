"""``simbench list``: what there is, without importing any of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from bench.cli.options import Given, plugin_folders
from bench.cli.run import go_on_apart
from bench.plugins import DATASET, ENCODER, KINDS, METHOD, Kind
from bench.registry import get_plugin, list_plugins

PREFACE = """
Made by `simbench list datasets --markdown` from the cards in `datasets/*.py`; a test compares it with them.

Give a data set by its name (`-d cifar10`), one of its variants, where it has any, by both (`-d cub200:mieb`), a set of
Hugging Face's Hub as `-d hf:<owner>/<name>`, one of torchvision's as `-d torchvision:<Class>`, your own images by their
path. Options are set with `--set datasets.NAME.OPTION=VALUE` or in bench.toml. Files are looked for under `--data-root`
(or `SIMBENCH_DATA`), then in our cache, then where an operating system's package puts them, and are downloaded last,
where the source allows it; `simbench fetch NAME` does only that. What was published with a checksum is compared with
it.
"""

_KINDS = {kind.group.removeprefix("simbench."): kind for kind in KINDS}


@click.command("list")
@click.argument("what", type=click.Choice(["all", *_KINDS, "models", "suites"]), default="all")
@click.option("-v", "--verbose", is_flag=True, help="Also every option with its default, and data sets' cards.")
@click.option("--markdown", is_flag=True, help="The data sets' cards as the page docs/reference/datasets.md.")
@plugin_folders
def listing(what: str, *, verbose: bool, markdown: bool) -> None:
    """List methods, data sets, protocols, encoders, inference engines, approximate indexes and suites.

    `simbench list models` lists short names of pretrained models, which options take in place of timm's.

    \b
    simbench list
    simbench list methods -v
    simbench list datasets -v
    simbench list encoders --methods my_methods
    simbench list models
    """
    from bench.config import load_config

    if verbose or markdown:
        go_on_apart(Given(None, (), debug=False))
    if markdown:
        click.echo(_page(), nl=False)
        return
    for name, kind in _KINDS.items():
        if what in (name, "all"):
            _say_plugins(kind, verbose=verbose)
    if what == "models":
        _say_models()
    if what in ("suites", "all"):
        click.echo("suites:")
        say_suites(load_config(None).suites)


def say_suites(suites: Mapping[str, Any]) -> None:
    """Print the suites' names and what they are for."""
    for name, said in suites.items():
        summary = said.get("summary", "") if isinstance(said, Mapping) else ""
        click.echo(f"  {name:{max(map(len, suites))}}  {summary}".rstrip())


def _say_plugins(kind: Kind, *, verbose: bool) -> None:
    click.echo(f"{kind.words}:")
    plugins = list_plugins(kind)
    width = max(len(plugin.name) for plugin in plugins)
    for plugin in plugins:
        origin = "" if plugin.origin == "simbench" else f"  [{plugin.origin}]"
        click.echo(f"  {plugin.name:{width}}  {plugin.summary}{origin}")
        if verbose and kind.options:
            _options(kind, plugin.name)
    if kind is ENCODER:
        click.echo("  timm/MODEL takes short names: simbench list models")
    if kind is DATASET:
        click.echo("  or a path: a folder with one subfolder a class, a CSV manifest, or a folder with JSON manifests")
        click.echo("  or NAME:VARIANT, where a data set has variants; a bare NAME is the first of them")
        click.echo("  or hf:<owner>/<name> of Hugging Face's Hub, or torchvision:<Class>")


def _say_models() -> None:
    """Print the short names of pretrained models, and what each is."""
    from bench.training.encoders.zoo import zoo

    click.echo("models (-o model=NAME, -o encoder=timm/NAME; any other of timm's by its own name):")
    width = max(len(one.alias) for one in zoo())
    for one in zoo():
        what = f"{one.size} pixels, {one.length} numbers, {one.pooling}, {one.licence}"
        click.echo(f"  {one.alias:{width}}  {one.model}: {what}")


def _options(kind: Kind, name: str) -> None:
    from bench.contract import card_of
    from bench.options import values_of

    made = get_plugin(kind, name)()
    card = card_of(made) if kind is DATASET else None
    for field, text in vars(card).items() if card else ():
        click.echo(f"      {field:9} {text}")
    start = "-o " if kind is METHOD else f"--set datasets.{name}."
    for option, value in values_of(made).items():
        click.echo(f"      {start}{option}={value}")


def _page() -> str:
    """Return docs/reference/datasets.md: every card and every option, from the code."""
    from bench.contract import card_of
    from bench.options import values_of

    lines = ["# Data sets", "", PREFACE.strip(), ""]
    for plugin in list_plugins(DATASET):
        loader = get_plugin(DATASET, plugin.name)()
        card = card_of(loader)
        lines += [f"## {plugin.name.replace('_', '-')}", "", plugin.summary, ""]
        lines += [f"- **{field}**: {text}" for field, text in vars(card).items()] if card else []
        lines += [f"- option `{option}` (default `{value}`)" for option, value in values_of(loader).items()]
        lines += [""] if lines[-1] else []
    return "\n".join(lines)
