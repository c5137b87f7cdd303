"""``simbench choose``: which method for these pictures, within a time; ``proxies``: what can be known beforehand."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.options import Given, configuration, data_places, folders, hardware, option
from bench.cli.run import go_on_apart, machine
from bench.cli.terminal import HEADING, BudgetBoard, StatusLine, Terminal, fitted, headed, indented, terminal_width
from bench.config import seconds
from bench.contract import UsageError
from bench.environment import cache_folder, user_path

if TYPE_CHECKING:
    from bench.choose.climb import Climb
    from bench.choose.rungs import Labels
    from bench.choose.update import Update
    from bench.choose.verdict import Facts, Verdict
    from bench.choose.workshop import Cells
    from bench.config import Config

_MS = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s)?", re.ASCII)


def _milliseconds(_: click.Context, parameter: click.Parameter, text: str | None) -> float | None:
    """Turn ``20ms``, ``0.5s`` and ``20`` into milliseconds: a click callback."""
    if text is None:
        return None
    found = _MS.fullmatch(text.strip())
    if found is None or float(found[1]) == 0:
        raise click.BadParameter(f"expected a time such as 20ms, got {text!r}", param=parameter)
    return float(found[1]) * (1000 if found[2] == "s" else 1)


@click.command()
@click.argument("pictures", metavar="FOLDER|MANIFEST|NAME")
@option("--budget", default="30m", metavar="30m", help="Time for all of it: 10m, 2h.")
@option("--max-latency", callback=_milliseconds, metavar="20ms", help="To embed an image and search, at most.")
@option("--max-bytes", type=click.IntRange(min=8), metavar="512", help="Of a vector, at most.")
@option("--new-classes", is_flag=True, help="Test on classes that nothing was learnt from (protocol unseen).")
@option("--protocol", metavar="NAME", help="One of `simbench list protocols`.  [default: the one that fits]")
@option(
    "--labels",
    type=click.Choice(["all", "few", "none"]),
    default="all",
    help="What to learn from; few: no network is trained. Whatever it is, labels say what is right.",
)
@click.option(
    "--update", is_flag=True, help="Choose again after pictures were added or removed: run only what may win."
)
@option("--limit", type=int, help="Use at most so many images of train and of test.")
@hardware
@data_places
@folders
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, only the answer.")
@configuration
def choose(
    pictures: str,
    *,
    budget: str,
    max_latency: float | None,
    max_bytes: int | None,
    new_classes: bool,
    protocol: str | None,
    labels: Labels,
    update: bool,
    as_json: bool,
    quiet: bool,
    given: Given,
    **flags: Any,
) -> None:
    """Try the sensible methods on your pictures within a time, and say which to use, how sure that is, what it costs.

    Tried are the pixels, frozen features, heads on them, a network with its last stages trained, and networks from
    scratch, in this order; small grey pictures from scratch before stages are trained. What would not fit into the time
    left is left out. One rule ends what is hopeless: what one run shows to be behind the best gets no more time. What
    is in question is trained with two more seeds. Ctrl-C leaves what was found; a second start goes on, with a budget
    of its own. Writes one page and choice.json.

    \b
    simbench choose ~/pictures                                one subfolder a class
    simbench choose ~/pictures --budget 2h --new-classes      for classes that come later
    simbench choose list.csv --max-latency 20ms --max-bytes 512
    simbench choose grocery --data-root ~/datasets --budget 10m
    simbench choose ~/pictures --update                       pictures were added or removed: does the answer stand?
    simbench choose ~/flat --labels none                      no class folders: do changed copies find their originals?
    """
    if sys.platform == "win32":
        raise UsageError("simbench choose needs Linux or macOS; use simbench run")
    if new_classes and protocol is not None:
        raise UsageError("give --new-classes or --protocol, not both")
    try:
        whole = seconds(budget)
    except ValueError as error:
        raise UsageError(f"--budget: {error}") from error
    go_on_apart(given, [pictures, protocol or ""])
    from bench.choose.update import Update
    from bench.choose.verdict import Facts
    from bench.data.layouts.folder import is_flat
    from bench.data.splits.protocols import unseen

    if is_flat(user_path(pictures)):
        if labels != "none":
            raise UsageError(
                f"{pictures}: there are no class folders in it; put the images of each class into a folder of its own, "
                "or compare methods by changed copies, without labels: --labels none"
            )
        given_too = {
            "update": update or None,
            "new-classes": new_classes or None,
            "max-latency": max_latency,
            "max-bytes": max_bytes,
            "protocol": protocol,
            "limit": flags["limit"],
        }
        _choose_without_labels(user_path(pictures), whole, given_too, given.load(flags), quiet=quiet, as_json=as_json)
        return
    checked = given.load({**flags, "protocol": unseen.__name__ if new_classes else protocol})
    terminal = Terminal(quiet=quiet or as_json)
    line = StatusLine(Path(checked.settings.runs), {}, 1, quiet=terminal.quiet)
    climb, cells, limits = _prepared(
        pictures, checked, terminal, line, whole, max_latency=max_latency, max_bytes=max_bytes
    )
    since = Update.since(_folder(checked, Facts.of(cells.data)), cells.data, limits) if update else None
    if since is not None and since.nothing:
        click.echo(json.dumps(since.old, indent=2) if as_json else _as_it_was(since))
        return
    if since is not None:
        terminal.log(f"since then: {since.in_words}")
    try:
        with closing(line):
            _climb(climb, cells, max_bytes, labels, since)
    except KeyboardInterrupt:
        if climb.results:
            _tell(climb, cells, limits, checked, since, as_json=as_json)
        raise
    _tell(climb, cells, limits, checked, since, as_json=as_json)


def _choose_without_labels(
    folder: Path, budget: float, others: Mapping[str, object], config: Config, *, quiet: bool, as_json: bool
) -> None:
    """Compare methods on a flat folder by changed copies, write copies.json, and print the answer."""
    import torch

    from bench.choose import copies_text
    from bench.choose.copies import find_copies_by
    from bench.choose.rungs import rungs
    from bench.files import ensure_writable, write_json
    from bench.naming import slug
    from bench.report.tables.wording import markdown_table

    unasked = [f"--{name}" for name, value in others.items() if value is not None]
    if unasked:
        raise UsageError(f"{', '.join(unasked)}: nothing that a folder without labels has; leave it out")
    out = config.settings.report / "choose" / slug(f"{folder.resolve().name}-copies") / "copies.json"
    ensure_writable(out.parent)
    device, threads = machine(config.settings)
    torch.set_num_threads(threads)
    terminal = Terminal(quiet=quiet or as_json)
    place = terminal.workplace(config.settings.runs, device, threads)
    tried = rungs(plain=False, labels="none")
    found = find_copies_by(tried, folder, place, lambda name: config.methods.get(name, {}), budget=budget)
    facts = copies_text.copies_facts(found)
    write_json(out, facts)
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    told = [("Looked at", copies_text.copies_in_words(found)), *copies_text.copies_sentences(found)]
    table = markdown_table(copies_text.HEADS, copies_text.copies_rows(found), "llr")
    click.echo(headed(told, table, [*copies_text.copies_commands(found), ("Written", str(out))]))


def _prepared(
    word: str,
    config: Config,
    terminal: Terminal,
    line: StatusLine,
    whole: float,
    *,
    max_latency: float | None,
    max_bytes: int | None,
) -> tuple[Climb, Cells, str]:
    """Load the pictures, say what they are, and return what is to be tried on them, and the limits in words."""
    import torch

    from bench.choose.climb import Climb
    from bench.choose.verdict import Facts, within
    from bench.choose.verdict_text import data_in_words
    from bench.choose.workshop import Cells
    from bench.files import ensure_writable
    from bench.runs.run_plan import chosen_data, load_collection

    began = time.monotonic()
    settings, cache = config.settings, cache_folder()
    device, threads = machine(settings)
    ensure_writable(Path(settings.runs))
    ensure_writable(settings.report)
    torch.set_num_threads(1)  # runs are forked from this process
    data = chosen_data(load_collection(word, config, terminal.progress, cache), settings, cache)
    terminal.log(data_in_words(Facts.of(data)))
    question, limits = within(max_latency, max_bytes)
    place = terminal.workplace(settings.runs, device, threads)
    board = BudgetBoard(line, lambda: climb.left)
    cells = Cells(word, data, config, place, question, board.watch)
    climb = Climb(whole - (time.monotonic() - began), cells, line.tell)
    return climb, cells, limits


def _as_it_was(since: Update) -> str:
    told = [indented(heading, text) for heading, text in since.old["says"].items()]
    head = "Nothing has changed since, and nothing was run; the answer stands (leave out --update to try more):"
    return "\n".join([head, *told])


def _climb(climb: Climb, cells: Cells, most_bytes: int | None, labels: Labels, since: Update | None) -> None:
    from bench.choose.rungs import are_plain, rungs

    known: Labels = labels if len(cells.data.train) else "none"
    tried = rungs(plain=are_plain(cells.data.query.images), labels=known, most_bytes=most_bytes)
    if since is not None:
        tried, rest = since.to_run(tried)
        climb.left_out += rest
    climb.all(tried)


def _folder(config: Config, facts: Facts) -> Path:
    from bench.naming import slug

    return config.settings.report / "choose" / slug(f"{facts.name}-{facts.protocol}")


def _tell(climb: Climb, cells: Cells, limits: str, config: Config, since: Update | None, *, as_json: bool) -> None:
    """Write the page, and print the answer."""
    from bench.choose.page import write_choice
    from bench.choose.verdict import verdict_of

    verdict = verdict_of(climb, cells.data, cells.question, limits)
    folder = _folder(config, verdict.facts)
    before = [] if since is None else [("Since then", f"{since.in_words}."), ("Answer", since.outcome(verdict))]
    page = write_choice(verdict, cells.data, cells.word, folder, before)
    if as_json:
        click.echo((folder / "choice.json").read_text(encoding="utf-8"))
    else:
        click.echo(_text(verdict, cells.word, before))
        click.echo(f"{'Page':{HEADING}}{page}")


def _text(verdict: Verdict, word: str, before: Sequence[tuple[str, str]]) -> str:
    from bench.choose.verdict_text import HEADS, commands, left_out, sentences, spent_in_words, tried
    from bench.report.tables.wording import markdown_table

    out = [("Left out", f"{line}.") for line in left_out(verdict)]
    table = markdown_table(HEADS, tried(verdict), "rlr")
    typed = [("Time", spent_in_words(verdict)), *commands(verdict, word)]
    return headed([*before, *sentences(verdict), *out], table, typed)


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
    from bench.choose.foretelling import foretold, foretold_table
    from bench.contract import DataError
    from bench.report.tables.entries import require_runs, table_runs
    from bench.report.tables.frame import runs_frame
    from bench.report.tables.groups import tables_of
    from bench.report.tables.wording import many

    runs = Path(given.load(flags).settings.runs)
    records = table_runs(runs)
    require_runs(records, runs)
    found, titles = foretold(tables_of(records, runs_frame(records)))
    if not titles:
        raise DataError(f"{runs}: no table with three rows that kept their vectors; run more methods on one data set")
    click.echo(fitted(foretold_table(found), terminal_width()))
    click.echo(f"\n{many(len(titles), 'table')}: {'; '.join(titles)}")
