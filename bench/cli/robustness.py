"""``simbench robustness``: ask finished runs corrupted queries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.options import Given, configuration, data_root, folders, hardware, option
from bench.cli.run import go_on_apart, machine, names_in
from bench.cli.terminal import Terminal, fitted, terminal_width
from bench.contract import SimbenchError, UsageError
from bench.environment import cache_folder

if TYPE_CHECKING:
    import torch

    from bench.contract import Dataset, Split
    from bench.runs.store import RunRecord


@click.command()
@click.argument("targets", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@option("-d", "--dataset", metavar="NAME|PATH", help="The runs' images, where their data set's name does not say it.")
@hardware
@data_root
@folders
@click.option("--force", is_flag=True, help="Sweep again what is finished.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, only results.")
@configuration
def robustness(
    *, targets: Sequence[Path], dataset: str | None, force: bool, quiet: bool, given: Given, **flags: str | int | None
) -> int:
    """Blur, noise, JPEG, rotate, crop and grey the queries of finished runs, and rank their clean galleries.

    A RUN is a run's folder, or a folder above several. Nothing is trained: the fitted method embeds queries corrupted
    in three severities. Writes robustness.json into each run, then robustness.md, robustness.csv and figures into
    the folder of the tables. A finished sweep is not repeated; one that was stopped resumes.

    \b
    simbench robustness runs/digits/loo/triplet
    simbench robustness runs/fashionmnist/loo --report-dir robust
    simbench robustness runs/pictures/holdout/arcface -d ~/pictures
    simbench bench --suite robustness                  the same for a whole suite, trained first where it is not yet
    """
    from bench.files import ensure_writable
    from bench.report.curves.curves import write_curves
    from bench.report.curves.robustness_curves import robustness_panels, robustness_text, sweeps_of

    records = _runs(targets)
    go_on_apart(given, [*names_in(records), dataset or ""])
    checked = given.load(flags)
    settings, terminal = checked.settings, Terminal(quiet=quiet)
    ensure_writable(settings.report)
    device, threads = machine(settings)
    loaded: dict[tuple[object, ...], Dataset] = {}  # runs of the same pictures follow each other: one is enough

    def queries(record: RunRecord) -> Split:
        from bench.runs.loaded_run import images_of

        key = (record.result.spec.fingerprint, record.result.spec.resize)
        if key not in loaded:
            loaded.clear()
            loaded[key] = images_of(record, checked, terminal.progress, cache_folder(), where=dataset)
        return loaded[key].query

    pairs = [(record, lambda record=record: queries(record)) for record in records]
    failed = sweep_all(pairs, device, threads, terminal, force=force, debug=given.debug)
    for path in write_curves(_with_those_of(Path(settings.runs), records), settings.report):
        click.echo(f"written: {path}", err=True)
    click.echo(
        fitted("\n\n".join(robustness_text(panel) for panel in robustness_panels(sweeps_of(records))), terminal_width())
    )
    return int(failed)


def sweep_all(
    runs: Iterable[tuple[RunRecord, Callable[[], Split]]],
    device: torch.device,
    threads: int,
    terminal: Terminal,
    *,
    force: bool = False,
    debug: bool = False,
) -> bool:
    """Sweep runs one after another, each with what gives its queries, and return whether any failed; say which."""
    from bench.runs.fitting import failure_reason
    from bench.runs.robustness import read_robustness, sweep_run

    failed = False
    for record, queries in runs:
        try:
            if not force and read_robustness(record) is not None:
                terminal.log(f"robustness of {record.folder}: done already")
                continue
            terminal.log(f"robustness of {record.folder}")
            sweep_run(record, queries(), device=device, threads=threads, progress=terminal.progress, force=force)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # one run's trouble is no other's, nor the tables'
            if debug and not isinstance(error, SimbenchError):
                raise
            failed = True
            click.echo(
                f"simbench: robustness of {record.folder}: {failure_reason(error, record.result.spec)}", err=True
            )
    return failed


def _with_those_of(runs: Path, swept: Sequence[RunRecord]) -> list[RunRecord]:
    """Return all runs under ``runs`` and those swept elsewhere: tables of curves are of all."""
    from bench.report.tables.entries import table_runs

    return list({record.folder.resolve(): record for record in (*table_runs(runs), *swept)}.values())


def _runs(targets: Sequence[Path]) -> list[RunRecord]:
    """Return the finished runs in or under the folders; of several, damaged ones are left out with a warning.

    Raises UsageError where a folder has none.
    """
    from bench.runs.store import RUN_FILE, read_run, readable

    found: dict[Path, RunRecord] = {}
    for target in targets:
        if (target / RUN_FILE).is_file():
            known = [read_run(target)]
        else:
            known = [*readable(path.parent for path in sorted(target.rglob(f"seed*/{RUN_FILE}")))]
        records = [record for record in known if record is not None and record.status == "done"]
        if not records:
            raise UsageError(f"{target}: no finished run in it; give the folder of a run, the one with a {RUN_FILE}")
        found |= {record.folder.resolve(): record for record in records}
    return list(found.values())
