"""``simbench report``: one page about all runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli import options
from bench.cli.leaderboard import published_target
from bench.cli.options import Given
from bench.cli.run import go_on_apart
from bench.cli.terminal import Terminal
from bench.contract import UsageError
from bench.environment import cache_folder

if TYPE_CHECKING:
    from bench.config import Config
    from bench.contract import Dataset
    from bench.runs.store import RunRecord

_TARGET = 3_000_000  # bytes of a page for a suite of runs


@click.command()
@options.folders
@options.publishing
@click.option("--figures", is_flag=True, help="Also write each figure as a file, SVG and PNG.")
@options.ranking
@options.image_places
@click.option("--no-images", is_flag=True, help="Do not look for the images: no retrieved pictures, much faster.")
@click.option(
    "--map",
    "plane",
    type=click.Choice(["pca", "umap"]),
    default="pca",
    help="How embeddings are laid out; umap needs the extra umap.",
)
@options.data_root
@click.option("-q", "--quiet", is_flag=True, help="No progress, only where the page is.")
@options.configuration
def report(
    *,
    publish: str | None,
    force: bool,
    figures: bool,
    rank_by: str,
    places: dict[str, str],
    no_images: bool,
    plane: str,
    quiet: bool,
    given: Given,
    **flags: Any,
) -> None:
    """Write report.html beside the runs: leaderboards, plots, retrieved pictures, checks and provenance of all of them.

    The page is one file that needs no network; --figures also writes its figures as files, into figures/. Pictures of
    queries come from the data sets themselves; where one cannot be loaded, the page says why and goes without.

    \b
    simbench report
    simbench report --runs /shared/runs --report-dir /shared/report
    simbench report --images pictures=path/to/pictures
    simbench report --no-images --figures
    simbench report --publish standard           the page of a published set, beside its tables
    """
    from bench.report.figures.vectors import plane_by
    from bench.report.html.page import write_report

    if publish and figures:
        raise UsageError("--figures and --publish: the page of a published set has its figures inside")
    go_on_apart(given, [] if no_images else None)  # then runs are opened for their own probabilities
    checked = given.load(flags)
    terminal = Terminal(quiet=quiet)
    opened = None if no_images else opener(checked, terminal, places)
    folder = _published(publish, Path(checked.settings.runs), force=force) or checked.settings.report
    written = write_report(
        Path(checked.settings.runs),
        folder,
        opened,
        terminal.progress,
        plane=plane_by(plane),
        rank_by=rank_by,
        with_files=figures,
    )
    for reason in written.missing:
        terminal.log(reason)
    large = f", more than {_TARGET / 1e6:.0f} MB" if written.size > _TARGET else ""
    where = f" in {written.page.parent / 'figures'}" if figures else ""
    click.echo(f"report: {written.page} ({written.size / 1e6:.1f} MB{large}; {written.figures} figures{where})")


def _published(name: str | None, runs: Path, *, force: bool) -> Path | None:
    """Return the folder of a published set, if one is meant, and see that these runs have its rows."""
    from bench.report.tables.entries import require_runs, table_runs
    from bench.report.tables.frame import runs_frame
    from bench.report.write import refuse_to_drop

    folder = published_target(name, force=force)
    if folder is not None and not force:
        records = table_runs(runs)
        require_runs(records, runs)
        refuse_to_drop(runs_frame(records), folder)
    return folder


def opener(config: Config, terminal: Terminal, named: dict[str, str]) -> Callable[[RunRecord], Dataset]:
    """Return what loads a run's data set, from the place that was named for it."""

    def open_images(record: RunRecord) -> Dataset:
        from bench.runs.loaded_run import images_of

        where = named.get(record.result.dataset)
        return images_of(record, config, terminal.progress, cache_folder(), where=where)

    return open_images
