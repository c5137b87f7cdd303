"""``simbench report``: one page about all runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.options import configuration, data_places, folders, image_places, published_target, publishing
from bench.cli.terminal import Terminal
from bench.contract import UsageError
from bench.environment import cache_folder

if TYPE_CHECKING:
    from bench.config import Config
    from bench.contract import Dataset
    from bench.runs.store import RunRecord

_TARGET = 3_000_000  # bytes of a page for a suite of runs


@click.command()
@folders
@publishing
@click.option("--figures", is_flag=True, help="Also write each figure as a file, SVG and PNG.")
@image_places
@click.option("--no-images", is_flag=True, help="Do not look for the images: no retrieved pictures, much faster.")
@click.option(
    "--map",
    "plane",
    type=click.Choice(["pca", "umap"]),
    default="pca",
    show_default=True,
    help="How embeddings are laid out; umap needs the extra umap.",
)
@data_places
@click.option("-q", "--quiet", is_flag=True, help="No progress, only where the page is.")
@configuration
def report(
    *,
    runs: str | None,
    report_dir: str | None,
    publish: str | None,
    force: bool,
    figures: bool,
    places: Sequence[str],
    no_images: bool,
    plane: str,
    data_root: str | None,
    image_size: str | None,
    quiet: bool,
    config: Path | None,
    overrides: Sequence[str],
    debug: bool,
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
    from bench.config import load_config
    from bench.report.figures.vectors import plane_by
    from bench.report.html.page import write_report

    del debug  # read where errors are shown
    if publish and figures:
        raise UsageError("--figures and --publish: the page of a published set has its figures inside")
    flags = {"runs": runs, "report_dir": report_dir, "data_root": data_root, "image_size": image_size}
    checked = load_config(config, overrides=overrides, flags=flags)
    terminal, named = Terminal(quiet=quiet), places_by_name(places)
    opened = None if no_images else opener(checked, terminal, named)
    folder = _published(publish, Path(checked.settings.runs), force=force) or checked.settings.report
    written = write_report(
        Path(checked.settings.runs), folder, opened, terminal.progress, plane=plane_by(plane), with_files=figures
    )
    for reason in written.missing:
        terminal.log(reason)
    large = f", more than {_TARGET / 1e6:.0f} MB" if written.size > _TARGET else ""
    where = f" in {written.page.parent / 'figures'}" if figures else ""
    click.echo(f"report: {written.page} ({written.size / 1e6:.1f} MB{large}; {written.figures} figures{where})")


def _published(name: str | None, runs: Path, *, force: bool) -> Path | None:
    """Return the folder of a published set, if one is meant, and see that these runs have its rows."""
    from bench.report.tables.frame import runs_frame
    from bench.report.write import refuse_to_drop
    from bench.runs.store import all_runs

    folder = published_target(name, force=force)
    if folder is not None and not force:
        refuse_to_drop(runs_frame(all_runs(runs)), folder)
    return folder


def places_by_name(places: Sequence[str]) -> dict[str, str]:
    """Return the words NAME=PATH as a mapping. Raises UsageError for another word."""
    found = {}
    for word in places:
        name, equals, path = word.partition("=")
        if not (name and equals and path):
            raise UsageError(f"--images takes NAME=PATH, such as pictures=path/to/pictures, got {word!r}")
        found[name] = path
    return found


def opener(config: Config, terminal: Terminal, named: dict[str, str]) -> Callable[[RunRecord], Dataset]:
    """Return what loads a run's data set, from the place that was named for it."""

    def open_images(record: RunRecord) -> Dataset:
        from bench.runs.loaded_run import images_of

        where = named.get(str(record.content["dataset"]))
        return images_of(record, config, terminal.progress, cache_folder(), where=where)

    return open_images
