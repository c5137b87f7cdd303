"""``simbench run``: train and evaluate methods on data sets."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli import options
from bench.cli.options import Given, option
from bench.cli.terminal import Terminal, leaderboard_text
from bench.contract import DRAW, MethodError, SimbenchError, UsageError
from bench.environment import cache_folder, processors
from bench.plugins import KINDS
from bench.registry import find_plugins

if TYPE_CHECKING:
    from bench.config import Config, Settings
    from bench.contract import Collection, Progress, Workplace
    from bench.runs.run_plan import Cell
    from bench.runs.store import RunRecord

_TRAINING = ("lr", "weight_decay", "augment")
_QUICK = {"limit": 1_000, "epochs": 1.0}


@click.command()
@option(
    "-m", "--method", "methods", multiple=True, metavar="NAME", help="Method; repeatable, globs.  [default: arcface]"
)
@option(
    "-d",
    "--dataset",
    "datasets",
    multiple=True,
    metavar="NAME[:VARIANT]|PATH",
    help="Data set, or a folder or manifest of your own; repeatable.  [default: digits]",
)
@options.training
@option("--lr", type=float, help="Peak learning rate: the option lr of every method that trains.")
@option("--weight-decay", type=float, help="Their option weight_decay.")
@option("--augment", metavar="NAME", help="Their option augment: none, light, crop, trivial or rand.")
@options.depths
@option("--labels-per-class", type=int, metavar="N", help="Train on N labelled images a class, validation included.")
@option("--quick", is_flag=True, help="A look in seconds: --limit 1000 --epochs 1. Not for conclusions.")
@options.hardware
@option("--engine", metavar="NAME", help="What embeds; see `list engines`.  [default: torch]")
@options.deterministic
@option("--tensorboard", is_flag=True, help="Also write training curves for TensorBoard into the run folders.")
@options.data_choices
@options.draws
@options.data_places
@options.folders
@options.ranking
@options.shown_columns
@click.option("--dry-run", is_flag=True, help="Say what would run, and stop.")
@click.option("--force", is_flag=True, help="Run again what is finished.")
@options.wide_tables
@click.option("--json", "as_json", is_flag=True, help="Print the runs as JSON instead of tables.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, only results.")
@options.configuration
def run(
    *,
    methods: Sequence[str],
    datasets: Sequence[str],
    words: Sequence[str],
    quick: bool,
    dry_run: bool,
    force: bool,
    wide: bool,
    as_json: bool,
    quiet: bool,
    tensorboard: bool,
    rank_by: str,
    columns: Sequence[str],
    given: Given,
    **flags: Any,
) -> int:
    """Train methods, rank the gallery for every query, score, and rebuild the tables.

    A finished run is kept and not repeated; an interrupted one resumes where it stopped; a failed one is tried again.
    Methods, encoders and engines from outside simbench run in processes of their own; not with --debug.

    \b
    simbench run                                                    arcface on digits
    simbench run -m arcface -d fashionmnist --protocol loo
    simbench run -m '*' -d fashionmnist --seeds 0,1,2 --budget 5m
    simbench run -m pretrained -d fashionmnist --protocol unseen --split-seeds 0..9
    simbench run -m arcface -d ~/pictures                           one subfolder a class
    simbench run -m pretrained -d cub200:dml -d cub200:mieb         two variants of a benchmark, two tables
    simbench run -m arcface -o margin=0.4 -o arcface.scale=20 --dry-run
    simbench run -m triplet -d digits --protocol loo --labels-per-class 5
    simbench run -m triplet -o encoder=timm/wide_resnet50_2 --augment trivial --lr 3e-4
    """
    from bench.config import DEFAULT_DATASET, DEFAULT_METHOD
    from bench.runs.run_plan import chosen_methods, plan_cells, run_cells

    terminal = Terminal(quiet=quiet or as_json)
    names = chosen_methods(methods or (DEFAULT_METHOD,))
    words = [*words, *_training_words(flags)]
    apart = go_on_apart(given, [*names, *words, *datasets, flags["engine"] or "", flags["protocol"] or ""])
    checked = checked_settings(given, _flags(flags, quick=quick))
    settings = checked.settings
    device, threads = machine(settings)
    cache = cache_folder()
    chosen = datasets or (DEFAULT_DATASET,)
    collections = {name: ranked_collection(name, rank_by, checked, terminal.progress, cache) for name in chosen}
    cells = plan_cells(names, collections, checked, words, device.type, cache=cache)
    if dry_run:
        _say_plan(cells, Path(settings.runs))
        return 0

    from bench.files import ensure_writable
    from bench.runs.fitting import require_tensorboard

    if tensorboard:
        require_tensorboard()
    ensure_writable(Path(settings.runs))
    ensure_writable(settings.report)
    place = terminal.workplace(settings.runs, device, threads, force=force, debug=given.debug, tensorboard=tensorboard)
    if apart:
        records = _run_apart(cells, {data.name: word for word, data in collections.items()}, checked, place)
    else:
        records = list(run_cells(cells, place))
    return report_runs(records, settings, rank_by, columns, as_json=as_json, wide=wide)


def checked_settings(given: Given, flags: dict[str, Any]) -> Config:
    """Return the configuration of runs, by the settings given on the command line.

    Raises UsageError for what does not go together.
    """
    checked = given.load(flags)
    if checked.settings.split_seeds and flags.get("split_seed") is not None:
        raise UsageError("give --split-seed or --split-seeds, not both")
    return checked


def ranked_collection(word: str, rank_by: str, checked: Config, progress: Progress, cache: Path) -> Collection:
    """Return the data set of a word. Raises UsageError where the table's metric has a depth that is not asked for."""
    from bench.runs.run_plan import load_collection

    collection = load_collection(word, checked, progress, cache)
    check_depth(rank_by, checked.settings.ks or collection.ks, lambda ks: " ".join(f"-k {k}" for k in ks))
    return collection


def go_on_apart(given: Given, texts: Sequence[str] | None = None) -> bool:
    """Where a command calls code from outside simbench, try to import that, and go on with the command in a child.

    This process waits for it then, and ends as it does. To be called before the command uses torch.

    Args:
        given: with --debug, all stays in this process.
        texts: where names of plugins may stand beside the configuration, None for all plugins.

    Returns:
        Whether there is any such code.

    Raises:
        MethodError: in place of a child that was ended before it was done, with whose code it may have been.
    """
    if given.debug or all(one.own for kind in KINDS for one in find_plugins(kind).values()):
        return False  # and torch is not imported for it
    import torch

    from bench.executors.child import GONE_ON, go_on_in_child
    from bench.executors.executor import Limits, why_ended
    from bench.suites.cell import try_outside

    file, threads = given.config or Path("bench.toml"), torch.get_num_threads()
    said = file.read_text("utf-8", "replace") if file.is_file() else ""
    tried = try_outside(None if texts is None else [*texts, *given.overrides, said])
    if not tried or sys.platform != "linux":
        return bool(tried)
    ended, done = go_on_in_child()
    if ended is None:
        torch.set_num_threads(threads)
        click.get_current_context().call_on_close(done)
        return True
    if ended.words == GONE_ON:
        raise click.exceptions.Exit(ended.code)
    suspects = " or ".join(f"{kind.word} {one.name} of {one.brought_by}" for kind, one in tried)
    raise MethodError(f"{why_ended(ended, Limits(), tries=1)}: {suspects}")


def names_in(records: Iterable[RunRecord]) -> list[str]:
    """Return where names of plugins may stand in the specifications of finished runs."""
    specs = [record.result.spec for record in records]
    return [str(one) for spec in specs for one in (spec.method, spec.engine, spec.dataset, *spec.options.values())]


def _run_apart(cells: Sequence[Cell], words: Mapping[str, str], config: Config, place: Workplace) -> list[RunRecord]:
    """Run the cells with code from outside simbench in processes of their own, then the others here.

    words: of the command line, by the name of the data that each stands for. Returns the records in the cells' order.
    """
    from bench.runs.run_plan import run_cells
    from bench.runs.sources import of_own_code
    from bench.suites.cell import run_apart
    from bench.suites.expansion import SuiteCell

    own = [of_own_code(cell.spec) for cell in cells]
    settings = config.settings
    outside = [
        SuiteCell(one.spec, one.seed, one.dataset, words[one.spec.dataset], settings.drawn(one.spec.data.get(DRAW)))
        for one, here in zip(cells, own, strict=True)
        if not here
    ]
    # First, so that they are forked from this process while it has computed on one thread only.
    first = list(run_apart(outside, place, config.datasets))
    both = {True: run_cells([cell for cell, here in zip(cells, own, strict=True) if here], place), False: iter(first)}
    return [next(both[here]) for here in own]


def _training_words(flags: dict[str, Any]) -> list[str]:
    """Take the flags that are options of trained methods out of the others, as the ``-o`` words that they stand for."""
    given = {name: flags.pop(name) for name in _TRAINING}
    return [f"{name}={value}" for name, value in given.items() if value is not None]


def _flags(flags: dict[str, Any], *, quick: bool) -> dict[str, Any]:
    given = options.chosen_data(flags)
    if quick:
        shorter = {k: v for k, v in _QUICK.items() if not (k == "epochs" and "budget" in given)}
        given = {**shorter, **given}
    return given


def machine(settings: Settings) -> tuple[Any, int]:
    """Return the torch device and the number of threads to use."""
    from bench.runs.provenance import choose_device

    return choose_device(settings.device), settings.threads or processors()


def _say_plan(cells: Sequence[Cell], runs: Path) -> None:
    from bench.runs.store import read_run, run_folder

    for cell in cells:
        folder = run_folder(runs, cell.spec, cell.seed)
        try:
            known = read_run(folder)
            state = known.status if known else "to run"
        except SimbenchError:
            state = "damaged"
        click.echo(f"{state:7}  {folder}")


def check_depth(rank_by: str, ks: Sequence[int], asking: Callable[[Sequence[int]], str]) -> None:
    """Raise UsageError for a metric to rank by at a depth that the runs will not have, before any training.

    asking: the words of the command line that ask for some depths.
    """
    depth = rank_by.partition("@")[2]
    if depth.isdigit() and int(depth) not in ks:
        raise UsageError(f"--rank-by {rank_by} needs the depth {depth}: add {asking(sorted({*ks, int(depth)}))}")


def report_runs(
    records: Sequence[RunRecord], settings: Settings, rank_by: str, columns: Sequence[str], *, as_json: bool, wide: bool
) -> int:
    """Rebuild the tables of all runs, print these, and return the exit code: 1 where one failed."""
    from bench.report.tables.frame import runs_frame
    from bench.report.write import board_of, write_board

    runs, folder = Path(settings.runs), settings.report
    write_board(board_of(runs, rank_by, columns), folder)
    failed = [record for record in records if record.status != "done"]
    if as_json:
        click.echo(
            json.dumps([{"folder": str(record.folder), **record.result.to_json()} for record in records], indent=2)
        )
        return int(bool(failed))
    click.echo(leaderboard_text(runs_frame(records, rank_by), wide=wide, columns=columns))
    click.echo(f"\nleaderboard: {folder / 'leaderboard.md'}   runs: {runs}{'' if wide else '   all columns: --wide'}")
    for record in failed:
        click.echo(f"simbench: {record.result.method} failed: {record.result.reason}", err=True)
    sys.stdout.flush()
    return int(bool(failed))
