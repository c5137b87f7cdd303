"""``simbench check``: does a method keep its promises, and what does a data set hold?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.options import Given, chosen_data, configuration, data_choices, data_root
from bench.cli.run import go_on_apart
from bench.cli.terminal import Terminal
from bench.contract import UsageError
from bench.environment import cache_folder
from bench.naming import canonical, did_you_mean, first_few
from bench.plugins import DATASET, ENCODER, METHOD, Kind
from bench.registry import plugin_names

if TYPE_CHECKING:
    from bench.config import Config
    from bench.contract import Audit, Overlap
    from bench.data.layouts.summary import Summary


@click.command()
@click.argument("targets", nargs=-1, required=True, metavar="METHOD|ENCODER|DATASET|PATH...")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
@data_choices
@data_root
@configuration
def check(targets: Sequence[str], *, as_json: bool, given: Given, **flags: Any) -> int:
    """Run the conformance suite on a method or an encoder, or tell what a data set or a folder of yours holds.

    Of data: images, classes, what is broken or imbalanced, duplicates, leaks from test to train, labels that disagree,
    and which protocols are possible. What --protocol, --limit and the like choose is what is audited.

    \b
    simbench check arcface
    simbench check mine --methods my_methods
    simbench check ~/pictures
    simbench check fashionmnist --protocol loo --json
    """
    from bench.data.layouts.locate import plugin_of

    go_on_apart(given, [*targets, flags["protocol"] or ""])
    settings = given.load(chosen_data(flags))
    good, found = True, []
    known = {kind: plugin_names(kind) for kind in (METHOD, ENCODER, DATASET)}
    for target in targets:
        name = canonical(target)
        promising = [kind for kind in (METHOD, ENCODER) if name.partition("/")[0] in known[kind]]
        if promising and not Path(target).exists():
            for kind in promising:
                fine, facts = _check_promises(kind, target, quiet=as_json)
                good &= fine
                found.append(facts)
        elif plugin_of(target) is not None or Path(target).exists() or any(mark in target for mark in "/:"):
            found.append(_check_data(target, settings, quiet=as_json))
        else:
            names = list(dict.fromkeys(one for some in known.values() for one in some))
            raise UsageError(
                f"{target!r} is no method, no encoder, no data set, and no path{did_you_mean(name, names)} "
                f"(known: {', '.join(names)})"
            )
    if as_json:
        click.echo(json.dumps(found, indent=2))
    return int(not good)


def _check_promises(kind: Kind, name: str, *, quiet: bool) -> tuple[bool, dict[str, Any]]:
    from bench.conformance import check_encoder, check_method

    findings = []
    for finding in (check_method if kind is METHOD else check_encoder)(name):
        findings.append(finding)
        if not quiet:
            detail = f": {finding.detail}" if finding.detail else ""
            click.echo(f"{'ok    ' if finding.good else 'FAILED'}  {name}: {finding.promise}{detail}")
    return all(one.good for one in findings), {kind.word: name, "findings": [asdict(one) for one in findings]}


def _check_data(target: str, config: Config, *, quiet: bool) -> dict[str, Any]:
    from bench.contract import DataError
    from bench.data.audit.audit import audit
    from bench.data.layouts.summary import summarise
    from bench.runs.run_plan import chosen_data as cut
    from bench.runs.run_plan import load_collection

    terminal = Terminal(quiet=quiet)
    collection = load_collection(target, config, terminal.progress, cache_folder())
    summary = summarise(collection)
    found, reason = None, ""
    try:
        data = cut(collection, config.settings, cache_folder())
        found = audit(data, cache_folder(), terminal.progress)
        notes, protocol = data.notes, data.protocol.name
    except DataError as error:
        reason, notes, protocol = str(error), collection.notes, config.settings.protocol
    if not quiet:
        for line in [
            *_counted(summary, notes),
            *(_audited(found, protocol) if found else [f"  not audited: {reason}"]),
        ]:
            click.echo(line)
    return {
        "dataset": target,
        **asdict(summary),
        "protocols": list(summary.protocols),
        "notes": list(notes),
        "protocol": protocol,
        "audit": asdict(found) if found else None,
        "reason": reason,
    }


def _counted(summary: Summary, notes: Sequence[str]) -> Iterator[str]:
    colour = "grey" if summary.shape.channels == 1 else "colour"
    size = f"pictures of any size, {colour}: each method sees them at its own size"
    images = size if summary.any_size else f"images {summary.shape} (height x width x channels)"
    yield f"{summary.name}: {len(summary.classes)} classes, {images}"
    for name, part in summary.parts.items():
        spread = f"{part.smallest} to {part.largest} images a class (median {part.median:g})"
        yield f"  {name:10}  {part.images:7} images, {part.classes} classes, {spread}"
    for note in notes:
        yield f"  {note}"
    if summary.imbalance > 2:
        yield f"  the largest class has {summary.imbalance:.1f} times the images of the smallest (--balance evens them)"
    if summary.thin:
        yield f"  too few images to test on in: {first_few(summary.thin, 10)}"
    for protocol, obstacle in summary.obstacles.items():
        yield f"  protocol {protocol:11} {'possible' if not obstacle else 'not possible: ' + obstacle}"


def _audited(found: Audit, protocol: str) -> Iterator[str]:
    from bench.report.tables.wording import queries_in_words

    yield f"  {queries_in_words(found.scored, found.queries)} (protocol {protocol})"
    for leak in found.leaks:
        yield f"  LEAK: {_overlap(leak)} (--drop-leaks leaves the duplicates out of the training)"
    for overlap in found.overlaps:
        yield f"  duplicates: {_overlap(overlap)}"
    if found.conflicts:
        yield f"  labels disagree in {found.conflicts:,} groups of duplicates, such as:"
        yield from (f"    {example}" for example in found.examples)
    if found.unasked:
        yield f"  no query of: {first_few(found.unasked, 10)}"
    if not (found.leaks or found.overlaps):
        yield f"  no duplicates within or between train, query and gallery (protocol {protocol})"


def _overlap(one: Overlap) -> str:
    where = f"another duplicate in {one.other}" if one.part == one.other else f"a duplicate in {one.other}"
    mirrored = f", {one.mirrored:,} of them mirrored" if one.mirrored else ""
    kinds = f"{one.exact:,} exact, {one.near:,} near{mirrored}"
    return f"{one.found:,} of {one.images:,} {one.part} images have {where}: {kinds}"
