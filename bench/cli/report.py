"""``simbench report``: one page about all runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.options import configuration, data_places, folders, image_places, ranking
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
@ranking
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
    results: str | None,
    rank_by: str,
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
    """Write results/report.html: leaderboards, plots, retrieved pictures, checks and provenance of all runs.

    The page is one file that needs no network. Its figures are also written to results/figures, as SVG and PNG.
    Pictures come from the data sets themselves; where one cannot be loaded, the page says why and goes without.

    \b
    simbench report
    simbench report --runs /shared/runs --results /shared/results
    simbench report --images pictures=path/to/pictures
    simbench report --no-images
    """
    from bench.config import load_config
    from bench.report.figures.vectors import plane_by
    from bench.report.html.page import write_report

    del debug  # read where errors are shown
    flags = {"runs": runs, "results": results, "data_root": data_root, "image_size": image_size}
    checked = load_config(config, overrides=overrides, flags=flags)
    terminal, named = Terminal(quiet=quiet), places_by_name(places)
    opened = None if no_images else opener(checked, terminal, named)
    settings = checked.settings
    written = write_report(
        Path(settings.runs), Path(settings.results), opened, terminal.progress, plane=plane_by(plane), rank_by=rank_by
    )
    for reason in written.missing:
        terminal.log(reason)
    large = f", more than {_TARGET / 1e6:.0f} MB" if written.size > _TARGET else ""
    click.echo(
        f"report: {written.page} ({written.size / 1e6:.1f} MB{large}; {written.figures} figures in "
        f"{written.page.parent / 'figures'})"
    )


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
