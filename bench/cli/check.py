"""``simbench check``: does a method keep its promises, and what does a data set hold?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from bench.cli.options import configuration, data_places
from bench.cli.terminal import Terminal, cache_folder
from bench.contract import UsageError
from bench.naming import did_you_mean
from bench.registry import DATASET, METHOD, canonical, plugin_names


@click.command()
@click.argument("targets", nargs=-1, required=True, metavar="METHOD|DATASET|PATH...")
@data_places
@configuration
def check(
    targets: Sequence[str],
    *,
    data_root: str | None,
    image_size: str | None,
    config: Path | None,
    overrides: Sequence[str],
    debug: bool,
) -> int:
    """Run the conformance suite on a method, or tell what a data set or a folder of yours holds.

    \b
    simbench check arcface
    simbench check ~/pictures
    """
    del debug  # read where errors are shown
    failed = False
    for target in targets:
        known = plugin_names(METHOD)
        if canonical(target) in known and not Path(target).exists():
            failed |= not _check_method(canonical(target))
        elif canonical(target) in plugin_names(DATASET) or Path(target).exists() or "/" in target:
            _check_data(target, config, overrides, {"data_root": data_root, "image_size": image_size})
        else:
            both = [*known, *plugin_names(DATASET)]
            raise UsageError(
                f"{target!r} is no method, no data set, and no path{did_you_mean(canonical(target), both)} "
                f"(methods and data sets: {', '.join(both)})"
            )
    return int(failed)


def _check_method(name: str) -> bool:
    from bench.runs.conformance import check_method

    good = True
    for finding in check_method(name):
        detail = f": {finding.detail}" if finding.detail else ""
        click.echo(f"{'ok    ' if finding.good else 'FAILED'}  {name}: {finding.promise}{detail}")
        good &= finding.good
    return good


def _check_data(target: str, config: Path | None, overrides: Sequence[str], flags: dict[str, str | None]) -> None:
    from bench.config import load_config
    from bench.data.summary import summarise
    from bench.runs.matrix import load_collection

    checked = load_config(config, overrides=overrides, flags=flags)
    summary = summarise(load_collection(target, checked, Terminal(quiet=False).progress, cache_folder()))
    click.echo(f"{summary.name}: {len(summary.classes)} classes, images {summary.shape} (height x width x channels)")
    for name, part in summary.parts.items():
        spread = f"{part.smallest} to {part.largest} images a class (median {part.median:g})"
        click.echo(f"  {name:10}  {part.images:7} images, {part.classes} classes, {spread}")
    if summary.imbalance > 2:
        click.echo(f"  the largest class has {summary.imbalance:.1f} times the images of the smallest")
    if summary.thin:
        click.echo(
            f"  too few images to test on in: {', '.join(summary.thin[:10])}{' ...' if len(summary.thin) > 10 else ''}"
        )
    for protocol, obstacle in summary.obstacles.items():
        click.echo(f"  protocol {protocol:9} {'possible' if not obstacle else 'not possible: ' + obstacle}")
