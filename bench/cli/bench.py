"""``simbench bench``: run a suite of bench.toml, each cell in a process of its own."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.embed import make_pool, require_executor
from bench.cli.listing import say_suites
from bench.cli.options import (
    Given,
    configuration,
    data_places,
    deterministic,
    executors,
    folders,
    option,
    ranking,
    shown_columns,
    wide_tables,
)
from bench.cli.robustness import sweep_all
from bench.cli.run import check_depth, go_on_apart, machine
from bench.cli.terminal import StatusLine, Terminal, leaderboard_text
from bench.config import duration
from bench.contract import UsageError

if TYPE_CHECKING:
    from bench.config import Settings
    from bench.contract import Workplace
    from bench.suites.expansion import SuiteCell
    from bench.suites.planning import Plan
    from bench.suites.runner import Outcome


@click.command(name="bench")
@option("--suite", "name", default="quick", metavar="NAME", help="A suite of `simbench list suites`.")
@click.option("--list", "listed", is_flag=True, help="List the suites, and stop.")
@click.option("--dry-run", is_flag=True, help="List every cell with its predicted time and memory, and stop.")
@option("--budget", metavar="2h", help="Fit the suite into this time: fewer epochs, equally many for all methods.")
@option("--jobs", type=click.IntRange(min=1), default=1, metavar="N", help="Cells at once; they share cores and GPU.")
@option("--cell-time", metavar="1h", help="The longest a cell may take.  [default: the suite's]")
@option("--cell-memory", metavar="8G", help="The most a cell may hold.  [default: its share of nine tenths of all]")
@executors
@deterministic
@data_places
@folders
@wide_tables
@ranking
@shown_columns
@click.option("-q", "--quiet", is_flag=True, help="No progress, only results.")
@configuration
def bench(
    *,
    name: str,
    listed: bool,
    dry_run: bool,
    budget: str | None,
    jobs: int,
    executor: str,
    address: str | None,
    cell_time: str | None,
    cell_memory: str | None,
    wide: bool,
    rank_by: str,
    columns: Sequence[str],
    quiet: bool,
    given: Given,
    **flags: Any,
) -> int:
    """Run a suite: methods x data sets x protocols x seeds, one that comes with simbench or [suite.NAME] of bench.toml.

    Finished cells are skipped and half-done ones resume, whatever ended the last start. A cell that fails, hangs or
    takes too much memory is a failed row with its reason; the others complete. Several starts share the work.

    \b
    simbench bench                                        the suite quick
    simbench bench --suite standard --dry-run             what it would run, and how long that would take
    simbench bench --suite standard --budget 2h           the same with fewer epochs
    simbench bench --suite standard --jobs 4              four cells at once
    simbench bench --suite labels                         label-budget curves: 1, 5, 20, 100 labels a class, all
    simbench bench --suite robustness                     corrupted queries against clean galleries
    simbench bench --rank-by hit@1 --columns hit@1,ms     ranked by another metric, and other columns
    simbench bench --set suite.quick.seeds=0,1,2          another value for a line of bench.toml
    simbench bench --executor ray --address auto          on the Ray cluster that this machine is part of
    """
    if not listed and sys.platform != "win32":
        go_on_apart(given)
    checked = given.load(flags)
    if listed:
        say_suites(checked.suites)
        return 0
    if sys.platform == "win32":
        raise UsageError("simbench bench needs Linux or macOS; use simbench run")
    require_executor(executor, address)
    from bench.files import ensure_writable
    from bench.suites.cell import CellProgram
    from bench.suites.planning import Asked, plan_suite
    from bench.suites.runner import Reporter, Runner

    settings, terminal = checked.settings, Terminal(quiet=quiet)
    device, cores = machine(settings)
    threads = settings.threads or max(1, cores // jobs)
    place = terminal.workplace(settings.runs, device, threads)
    ensure_writable(settings.report)
    asked = Asked(jobs, budget, cell_time, cell_memory, predicted=dry_run, here=executor == "local")
    with closing(StatusLine(place.root, {}, 1, quiet=quiet)) as trials:
        plan = plan_suite(name, checked, place, asked, Reporter(trials.show, trials.tell))
    for cell in plan.cells:
        check_depth(rank_by, cell.spec.ks, lambda ks: f"--set run.ks={','.join(map(str, ks))}")
    for line in [*(f"skipped: {line}" for line in plan.skipped), *([plan.note] if plan.note else [])]:
        terminal.log(line)
    if dry_run:
        _say_plan(plan, place, jobs, cluster=executor == "ray")
        return 0
    expected = {cell.folder(place.root): one for cell, one in zip(plan.cells, plan.predictions, strict=True)}
    program, most = CellProgram(place, checked.datasets), max(cores, jobs * threads)
    made = make_pool(program, executor=executor, address=address, limits=plan.limits, cores=most, jobs=jobs)
    with closing(StatusLine(place.root, expected, made.slots, quiet=quiet)) as board:
        room = plan.card_room(device, jobs) if executor == "local" else None  # Ray divides its cards by itself
        outcomes = Runner(plan.cells, place, made, plan.limits, Reporter(board.show, board.tell), room=room).run()
    swept = not plan.suite.keys.robustness or _sweep(outcomes, place, terminal, debug=given.debug)
    failed = _report(outcomes, plan.skipped, checked.settings, rank_by, columns, wide=wide)
    return int(failed or not swept)


def _sweep(outcomes: Sequence[Outcome], place: Workplace, terminal: Terminal, *, debug: bool) -> bool:
    """Ask every finished run corrupted queries, which a second start does not repeat; return whether all went well."""
    pairs = [(one.record, lambda one=one: one.cell.dataset.query) for one in outcomes if one.done and one.record]
    return not sweep_all(pairs, place.device, place.threads, terminal, debug=debug)


def _say_plan(plan: Plan, place: Workplace, jobs: int, *, cluster: bool) -> None:
    """Print every cell with its options, whether it is done, and what it will take; cluster: whether Ray runs it."""
    from tabulate import tabulate

    from bench.devices import card_bytes
    from bench.executors.memory import in_words

    def amount(known: int) -> str:
        return in_words(known) if known else "?"

    rows, done, card = [], plan.finished(place.root), card_bytes(place.device)
    for cell, one, finished in zip(plan.cells, plan.predictions, done, strict=True):
        state = "done" if finished else "to run"
        taken = [duration(one.seconds) if one.known else "?", amount(one.memory)]
        rows.append([*_names(cell), state, *taken, *([amount(one.card)] if card else [])])
    heads = ["data set", "protocol", "method", "seed", "state", "time", "memory", *(["on the card"] if card else [])]
    sides = [*["left"] * 3, "right", "left", *["right"] * (len(heads) - 5)]
    click.echo(tabulate(rows, heads, colalign=sides, disable_numparse=True))
    unknown = {str(one.source) for one in plan.predictions if not one.known}
    left = duration(plan.seconds_left(place.root, jobs))
    told = f"\n{len(rows)} cells, {sum(done)} done; the others take about {left}" + (" and more" if unknown else "")
    click.echo(told + (f", {jobs} at a time; Ray runs as many as it has room for" if cluster else ""))
    if card and not cluster:
        click.echo(f"the card has {in_words(card)}: a cell waits until there is room for it beside those that run")
    if plan.suite.keys.robustness:
        click.echo("then each run is asked corrupted queries: 15 or 18 times the time it takes to embed its queries")
    for reason in sorted(unknown):
        click.echo(f"not predicted: {reason}")


def _report(
    outcomes: Sequence[Outcome],
    skipped: Sequence[str],
    settings: Settings,
    rank_by: str,
    columns: Sequence[str],
    *,
    wide: bool,
) -> bool:
    """Rebuild the tables, print the suite's, then what failed and what was skipped; return whether anything failed."""
    from tabulate import tabulate

    from bench.report.tables.frame import runs_frame
    from bench.report.write import board_of, write_board

    written = write_board(board_of(Path(settings.runs), rank_by, columns), settings.report)
    frame = runs_frame([outcome.record for outcome in outcomes if outcome.record is not None], rank_by)
    click.echo(leaderboard_text(frame, wide=wide, columns=columns))
    failed = [outcome for outcome in outcomes if not outcome.done]
    if failed:
        rows = [[*_names(outcome.cell), outcome.why] for outcome in failed]
        click.echo(f"\n{len(failed)} of {len(outcomes)} cells failed:\n")
        click.echo(tabulate(rows, ["data set", "protocol", "method", "seed", "failed"], disable_numparse=True))
    if skipped:
        click.echo("\nskipped: " + "\nskipped: ".join(skipped))
    more = "" if wide else "; all columns: --wide"
    click.echo(f"\nwritten: {', '.join(map(str, written))}; runs: {settings.runs}{more}")
    sys.stdout.flush()
    return bool(failed)


def _names(cell: SuiteCell) -> list[str]:
    return [cell.spec.dataset, cell.spec.protocol, cell.label, str(cell.seed)]
