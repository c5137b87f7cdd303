"""``simbench tune``: fair tuning of methods on the validation split."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli import options
from bench.cli.options import Given, option
from bench.cli.run import go_on_apart, machine
from bench.cli.terminal import Terminal
from bench.config import DEFAULT_DATASET
from bench.environment import cache_folder

if TYPE_CHECKING:
    from bench.tuning.search import Tuned


@click.command()
@option("-m", "--method", "methods", multiple=True, required=True, metavar="NAME", help="Method; repeatable, globs.")
@option("-d", "--dataset", metavar="NAME|PATH", default=DEFAULT_DATASET, help="Data set to tune on.")
@option("--trials", type=int, default=20, help="Trials of each method, its defaults being the first.")
@options.training
@options.hardware
@option("--study", metavar="DIR", help="Where finished trials are kept.  [default: tuning in the folder of --runs]")
@option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="TOML file for the best options.  [default: tuned/DATASET.toml in REPORT-DIR]",
)
@options.data_choices
@options.data_places
@options.folders
@click.option("-q", "--quiet", is_flag=True, help="No progress, only the best options.")
@options.configuration
def tune(
    *,
    methods: Sequence[str],
    dataset: str,
    trials: int,
    words: Sequence[str],
    study: str | None,
    output: Path | None,
    quiet: bool,
    given: Given,
    **flags: Any,
) -> int:
    """Search each method's tunable options, with as many trials of the same length for each.

    Each trial has --epochs or --budget, and scores map, leave-one-out, on the validation split: query and gallery are
    not looked at. The best options are printed and written as sections of a bench.toml, every trial to a CSV file
    beside it. Options given with -o or in bench.toml are not searched. Interrupted, the same command resumes; with more
    --trials, it adds to them.

    \b
    simbench tune -m arcface -d fashionmnist --budget 2m
    simbench tune -m arcface -m triplet -d fashionmnist --trials 30 --epochs 2 --phases 1
    simbench tune -m arcface -d fashionmnist --protocol unseen_loo --validation classes --epochs 2
    simbench tune -m arcface -o batch_size=64 --trials 5
    simbench run -m arcface -d fashionmnist --config runs/report/tuned/fashionmnist.toml
    """
    from bench.runs.run_plan import chosen_data, chosen_methods, load_collection
    from bench.tuning.optuna_study import require_optuna
    from bench.tuning.search import plan_tunings

    require_optuna()
    terminal, cache = Terminal(quiet=quiet), cache_folder()
    names = chosen_methods(methods)
    go_on_apart(given, [*names, *words, dataset, flags["protocol"] or ""])
    checked = given.load(options.chosen_data(flags))
    settings = checked.settings
    device, threads = machine(settings)
    data = chosen_data(load_collection(dataset, checked, terminal.progress, cache), settings, cache)
    plans = plan_tunings(names, data, checked, words, device.type, trials=trials)

    from bench.files import ensure_writable
    from bench.tuning.search import tune as tune_method
    from bench.tuning.write import require_toml, save_section

    target = output or settings.report / "tuned" / f"{data.name}.toml"
    require_toml(target)
    ensure_writable(target.parent)
    place = terminal.workplace(settings.runs, device, threads, debug=given.debug)
    where = Path(study) if study else place.root / "tuning"
    for plan in plans:
        found = tune_method(plan, data, place, where, on_trial=partial(_keep_trials, target.parent))
        _keep_trials(target.parent, found)
        click.echo(save_section(target, found))
    used = " ".join(f"-m {name}" for name in names)
    same = "".join(f" --{name} {flags[name]}" for name in ("protocol", "validation") if flags[name])
    terminal.log(
        f"to use them: simbench run {used} -d {shlex.quote(dataset)}{same} --config {shlex.quote(str(target))}"
    )
    return 0


def _keep_trials(folder: Path, found: Tuned) -> None:
    from bench.tuning.write import save_trials

    save_trials(folder / f"{found.plan.spec.dataset}-{found.plan.spec.method}.csv", found)
