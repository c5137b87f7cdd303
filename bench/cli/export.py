"""``simbench export``: a finished run as files that others load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bench.cli.options import Given, configuration, data_root, option
from bench.cli.run import go_on_apart, machine, names_in
from bench.cli.terminal import Terminal
from bench.environment import cache_folder


@click.command()
@click.argument("run_folder", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="Folder to make; with --to, the file."
)
@click.option(
    "--to",
    "store",
    type=click.Choice(["qdrant", "pgvector", "lancedb", "faiss"]),
    help="Write the gallery's vectors alone, as this store takes them.",
)
@click.option("-d", "--dataset", metavar="NAME|PATH", help="The run's data set.  [default: by its name]")
@option("--threads", type=int, help="Processors to use.  [default: all]")
@data_root
@click.option("-q", "--quiet", is_flag=True, help="No progress, only the result.")
@configuration
def export(
    *, run_folder: Path, out: Path, store: str | None, dataset: str | None, quiet: bool, given: Given, **flags: Any
) -> None:
    """Write a finished run as one folder that others load without simbench: model, gallery, thresholds, card.

    model.onnx takes pictures in [0, 1] and gives the run's unit vectors. It embeds the run's queries again; where a
    vector, a ranking or map is not the run's, the export fails and leaves nothing. The backbone is also written for
    timm, where it is one of timm's. Needs pip install 'simbench-retrieval[export]'.

    \b
    simbench export runs/fashionmnist/loo/triplet -o winner
    simbench export RUN -o winner -d ~/pictures     a run on your own pictures
    simbench export RUN --to pgvector -o gallery.sql
    """
    if store is not None:
        click.echo(_to_store(run_folder, store, out))
        return
    import torch

    from bench.export.folder import export_run, require_packages
    from bench.runs.loaded_run import find_run, images_of, open_run

    require_packages()
    record, terminal = find_run(run_folder), Terminal(quiet=quiet)
    go_on_apart(given, [*names_in([record]), dataset or ""])
    checked = given.load(flags)
    _, threads = machine(checked.settings)
    torch.set_num_threads(threads)
    run = open_run(record.folder, torch.device("cpu"))  # files are written, and compared, for the CPU
    data = images_of(record, checked, terminal.progress, cache_folder(), where=dataset)
    parity = export_run(run, data, out, terminal.progress, threads=threads, licence=_licence(dataset or data.name))
    click.echo(
        f"{out}: model.onnx agrees with the run on {parity.images:,} of {parity.queries:,} queries: largest 1 - cosine "
        f"{parity.largest_distance:.1e}, the same first 50 ({parity.swaps:,} places swapped within rounding), map "
        f"{parity.map_written:.4f} for {parity.map_kept:.4f}"
    )


def _to_store(run_folder: Path, store: str, out: Path) -> str:
    """Write a run's gallery for a store, and return what to say of it."""
    from bench.export.stores import write_for_store
    from bench.runs.loaded_run import find_run, gallery_of

    gallery = gallery_of(find_run(run_folder))
    hint = write_for_store(store, out, gallery)
    return f"{out}: {len(gallery.ids):,} vectors of {gallery.vectors.shape[1]} dimensions; load it by\n  {hint}"


def _licence(name: str) -> str:
    """Return a data set's licence as its card states it, nothing for own pictures."""
    from bench.contract import card_of
    from bench.runs.run_plan import loader_for

    card = card_of(loader_for(name, {}))
    return "" if card is None else card.licence
