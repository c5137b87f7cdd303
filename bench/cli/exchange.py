"""``simbench export`` and ``import``: a finished run as files that others load, and a model of theirs as a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from bench.cli.options import Given, configuration, data_root, option
from bench.cli.run import go_on_apart, machine, names_in, run
from bench.cli.terminal import Terminal
from bench.contract import UsageError
from bench.environment import cache_folder
from bench.naming import canonical


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
    opened = open_run(record.folder, torch.device("cpu"))  # files are written, and compared, for the CPU
    data = images_of(record, checked, terminal.progress, cache_folder(), where=dataset)
    parity = export_run(opened, data, out, terminal.progress, threads=threads, licence=_licence(dataset or data.name))
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


@click.command(
    "import", context_settings={"ignore_unknown_options": True, "allow_extra_args": True}, add_help_option=True
)
@click.argument("model", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS OF simbench run]...")
@click.option("--name", default="ours", help="The row's name.")
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("imported"),
    help="Folder that the model is copied to, as a method.",
)
def import_model(*, model: Path, words: Sequence[str], name: str, into: Path) -> int:
    """Run a model that was trained elsewhere, ONNX or TorchScript, beside the methods: same evaluation, same controls.

    It takes (n, channels, height, width), pixels in [0, 1], and gives (n, d); otherwise see -o scale=bytes, -o mean=,
    -o std=. It is copied to --into as a method, which every other command finds there by --methods. All further
    options are those of simbench run.

    \b
    simbench import model.onnx -d ~/pictures
    simbench import model.onnx --name ours -d fashionmnist --protocol loo -m pretrained
    simbench import model.pt -d digits -o mean=0.5 -o std=0.5
    simbench search shoe.jpg --run RUN --methods imported
    """
    from bench.files import write_bytes
    from bench.plugins import METHOD
    from bench.registry import find_plugins
    from bench.training.imported import plugin_source

    if not name.isidentifier() or name != canonical(name):
        raise UsageError(f"--name {name}: lower-case letters, digits and _ only, such as ours")
    taken = find_plugins(METHOD).get(name)
    if taken is not None and taken.own:
        raise UsageError(f"--name {name}: there is a method of this name; give another")
    try:
        content = model.read_bytes()
    except OSError as error:
        raise UsageError(f"{model}: cannot be read ({error.strerror or error})") from error
    copy = into / f"{name}{model.suffix}"
    if copy.resolve() != model.resolve():
        write_bytes(copy, content)
    write_bytes(into / f"{name}.py", plugin_source(name, copy).encode())
    found: int = run.main(["-m", name, "--methods", str(into), *words], prog_name="simbench run", standalone_mode=False)
    return found
