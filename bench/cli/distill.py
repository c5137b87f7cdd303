"""``simbench distill``: a small network taught by a finished run's vectors, and what it keeps of that run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli import options
from bench.cli.options import Given, option
from bench.cli.run import go_on_apart, machine, names_in
from bench.cli.terminal import Terminal, leaderboard_text
from bench.contract import SimbenchError, UsageError
from bench.environment import cache_folder, user_path

if TYPE_CHECKING:
    from bench.runs.store import RunRecord

_METHOD = "distilled"


@click.command()
@click.argument("teacher", metavar="RUN", type=click.Path(path_type=Path))
@option("-d", "--dataset", metavar="NAME|PATH", help="The run's data set.  [default: by its name]")
@option("--encoder", metavar="NAME", help="The student's; `simbench list encoders`.  [default: resnet, from scratch]")
@option("-o", "--option", "words", multiple=True, metavar="NAME=VALUE", help="Option of the method distilled.")
@option("--epochs", type=float, help="Epochs of training.  [default: 14]")
@option("--budget", metavar="5m", help="Time to train in, instead of epochs: 90s, 5m, 2h.")
@option("--seed", type=int, default=0, help="Seed of training.")
@options.hardware
@options.data_root
@options.folders
@options.wide_tables
@click.option("-q", "--quiet", is_flag=True, help="No progress, only results.")
@options.configuration
def distill(
    teacher: Path,
    *,
    dataset: str | None,
    encoder: str | None,
    words: Sequence[str],
    seed: int,
    wide: bool,
    quiet: bool,
    given: Given,
    **flags: Any,
) -> int:
    """Teach a small network a finished run's vectors, without labels, and rank it beside its teacher.

    The student is a run like others, of the method `distilled`, on the teacher's data and protocol. Prints both rows,
    and what the student keeps of map and gains in latency.

    \b
    simbench distill runs/grocery/loo/proxy_anchor/KEY/seed0
    simbench distill RUN --encoder timm/mobilenetv3_small_050 -o size=128
    simbench distill RUN -d ~/pictures --budget 20m
    """
    from bench.report.tables.frame import runs_frame
    from bench.runs.loaded_run import find_run, settings_of
    from bench.runs.run_plan import load_collection, plan_cells, run_cells
    from bench.runs.store import RUN_FILE

    terminal = Terminal(quiet=quiet)
    record = find_run(user_path(teacher))
    spec = record.result.spec
    go_on_apart(given, [*names_in([record]), dataset or "", encoder or "", *words])
    checked = given.load(flags)
    asked = checked.settings
    chosen = replace(
        settings_of(spec, asked), epochs=asked.epochs, budget=asked.budget, seeds=(seed,), runs=asked.runs, ks=spec.ks
    )
    config = replace(checked, settings=chosen)
    said = [f"teacher={(record.folder / RUN_FILE).absolute()}", *([f"encoder={encoder}"] if encoder else []), *words]
    word, (device, threads) = dataset or spec.dataset, machine(asked)
    collection = load_collection(word, config, terminal.progress, cache_folder())
    (cell,) = plan_cells([_METHOD], {word: collection}, config, said, device.type, cache=cache_folder())
    if cell.spec.fingerprint != spec.fingerprint:
        raise UsageError(f"{word}: not the images that {record.folder} was scored on; name them with --dataset")
    (student,) = run_cells([cell], terminal.workplace(asked.runs, device, threads))
    if student.status != "done":
        raise SimbenchError(f"{_METHOD} failed: {student.result.reason} ({student.folder})")
    click.echo(leaderboard_text(runs_frame([record, student]), wide=wide))
    click.echo(f"\n{_kept(record, student)}\nstudent: {student.folder}")
    return 0


def _kept(teacher: RunRecord, student: RunRecord) -> str:
    """Return what the student keeps of the teacher's map, and what it gains."""
    from bench.report.tables.pooled_latency import POOLED

    was, now = teacher.result, student.result
    told = f"The student keeps {now.scores['map'] / was.scores['map']:.1%} of the teacher's map"
    told += f" ({now.scores['map']:.3f} of {was.scores['map']:.3f})"
    name = POOLED[0]
    if was.latency.get(name) and now.latency.get(name):
        before, after = was.latency[name], now.latency[name]
        told += f"; an image is embedded in {after:.1f} ms instead of {before:.1f}, {before / after:.1f} times as fast"
    if was.costs is not None and now.costs is not None and was.costs.n_parameters and now.costs.n_parameters:
        told += f"; {now.costs.n_parameters / 1e6:.2f} M parameters instead of {was.costs.n_parameters / 1e6:.2f} M"
    return f"{told}."
