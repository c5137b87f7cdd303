"""``simbench export`` and ``import``: a finished run as files that others load, and a model of theirs as a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from bench.cli import options
from bench.cli.options import Given, configuration, data_root, option
from bench.cli.run import checked_settings, go_on_apart, machine, names_in, ranked_collection, report_runs, run
from bench.cli.terminal import Terminal
from bench.contract import UsageError
from bench.environment import cache_folder, user_path
from bench.naming import canonical


@click.command()
@click.argument("run_folder", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="Folder to make; with --to, the file."
)
@click.option(
    "--to",
    "store",
    type=click.Choice(["qdrant", "pgvector", "lancedb", "faiss", "parquet", "hdf5"]),
    help="Write vectors alone, as this store takes them; parquet and hdf5 have the queries', too.",
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
    simbench export RUN --to hdf5 -o run.hdf5       for ann-benchmarks
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
    """Write a run's vectors for a store, and return what to say of it."""
    from bench.export.stores import write_for_store
    from bench.runs.loaded_run import find_run, gallery_of, queries_of

    record = find_run(run_folder)
    gallery = gallery_of(record)
    hint = write_for_store(store, out, gallery, queries_of(record))
    return (
        f"{out}: a gallery of {len(gallery.ids):,} vectors of {gallery.vectors.shape[1]} dimensions; load by\n  {hint}"
    )


def _licence(name: str) -> str:
    """Return a data set's licence as its card states it, nothing for own pictures."""
    from bench.contract import card_of
    from bench.runs.run_plan import loader_for

    card = card_of(loader_for(name, {}))
    return "" if card is None else card.licence


@click.command(
    "import", context_settings={"ignore_unknown_options": True, "allow_extra_args": True}, add_help_option=True
)
@click.argument("source", metavar="FILE|FOLDER")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS OF simbench run]...")
@click.option("--name", default="ours", help="The row's name.")
@click.option("--ids", metavar="FILE", help="The vectors' ids (npy, npz, parquet, csv, or txt with one a line).")
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("imported"),
    help="Folder that the model is copied to, as a method.",
)
def import_model(*, source: str, words: Sequence[str], name: str, ids: str | None, into: Path) -> int:
    """Make a row of what was made elsewhere, a model or vectors, beside the methods: same evaluation, same controls.

    A model is an ONNX or TorchScript file that takes (n, channels, height, width), pixels in [0, 1], and gives (n, d);
    otherwise see -o scale=bytes, -o mean=, -o std=. Or it is a folder of timm's, config.json and model.safetensors, as
    simbench export writes it. It is copied to --into as a method, which every other command finds there by --methods.
    All further options are those of simbench run.

    Vectors are npy, npz, safetensors or parquet (PATH:KEY names one array of several), with the data set's ids of their
    pictures: inside, in a list of the same name beside (.csv, .txt), or in --ids. There is no latency and no training
    time then. Further options are those of simbench run on data, metrics and tables.

    \b
    simbench import model.onnx -d ~/pictures
    simbench import model.onnx --name ours -d fashionmnist --protocol loo -m pretrained
    simbench import model.pt -d digits -o mean=0.5 -o std=0.5
    simbench import winner -d ~/pictures                         a folder of timm's
    simbench import vectors.parquet -d grocery --protocol loo
    simbench import vectors.npy --ids ids.txt -d ~/pictures --name theirs
    simbench search shoe.jpg --run RUN --methods imported
    """
    from bench.data.formats.vector_ids import is_vector_file

    vectors = is_vector_file(source)
    _require_free(name, own=not vectors)
    if vectors:
        named = [] if ids is None else ["--ids", ids]
        asked = ["--name", name, *named, *words, "--", source]
        return int(_score_vectors.main(asked, prog_name="simbench import", standalone_mode=False))
    if ids is not None:
        raise UsageError("--ids is for vectors, npy, npz, safetensors or parquet; a model needs none")
    _copy_model(user_path(source), name, into)
    asked = ["-m", name, "--methods", str(into), *words]
    return int(run.main(asked, prog_name="simbench run", standalone_mode=False))


def _require_free(name: str, *, own: bool) -> None:
    """Raise UsageError for a row's name that is none, or a method's. own: only one of those that come with simbench."""
    from bench.plugins import METHOD
    from bench.registry import find_plugins

    if not name.isidentifier() or name != canonical(name):
        raise UsageError(f"--name {name}: lower-case letters, digits and _ only, such as ours")
    taken = find_plugins(METHOD).get(name)
    if taken is not None and (taken.own or not own):
        raise UsageError(f"--name {name}: there is a method of this name; give another")


def _copy_model(source: Path, name: str, into: Path) -> None:
    """Copy a model, a file or timm's folder, into a folder of methods, with the file that makes it one."""
    from bench.files import write_bytes
    from bench.training.imported import ImportedModel, plugin_source

    if source.is_dir():
        from bench.training.imported_backbone import ImportedBackbone, folder_files

        kind: type = ImportedBackbone
        files = {option: (path, f"{name}/{path.name}") for option, path in folder_files(source).items()}
    else:
        kind, files = ImportedModel, {"file": (source, f"{name}{source.suffix}")}
    for path, copy in files.values():
        try:
            content = path.read_bytes()
        except OSError as error:
            raise UsageError(f"{path}: cannot be read ({error.strerror or error})") from error
        if (into / copy).resolve() != path.resolve():
            write_bytes(into / copy, content)
    copies = {option: copy for option, (_, copy) in files.items()}
    write_bytes(into / f"{name}.py", plugin_source(name, kind, copies).encode())


@click.command(add_help_option=False)
@click.argument("source")
@click.option("-d", "--dataset", required=True, metavar="NAME|PATH")
@click.option("--name")
@click.option("--ids")
@options.depths
@options.ties
@options.data_choices
@options.draws
@options.data_root
@options.folders
@options.ranking
@options.shown_columns
@option("--threads", type=int)
@click.option("--force", is_flag=True)
@options.wide_tables
@click.option("--json", "as_json", is_flag=True)
@click.option("-q", "--quiet", is_flag=True)
@options.configuration
def _score_vectors(
    *,
    source: str,
    dataset: str,
    name: str,
    ids: str | None,
    force: bool,
    rank_by: str,
    columns: Sequence[str],
    wide: bool,
    as_json: bool,
    quiet: bool,
    given: Given,
    **flags: Any,
) -> int:
    """Make a run of vectors: what ``simbench import`` calls for a file of them."""
    from bench.files import ensure_writable
    from bench.runs.given_vectors import GivenVectors, score_given
    from bench.runs.run_plan import chosen_data

    terminal, cache = Terminal(quiet=quiet or as_json), cache_folder()
    go_on_apart(given, [dataset, flags["protocol"] or ""])
    checked = checked_settings(given, {**options.chosen_data(flags), "device": "cpu"})
    settings = checked.settings
    vectors = GivenVectors.read(source, ids)
    collection = ranked_collection(dataset, rank_by, checked, terminal.progress, cache)
    cuts = [(chosen_data(collection, drawn, cache), drawn) for drawn in settings.draws()]
    ensure_writable(Path(settings.runs))
    ensure_writable(settings.report)
    place = terminal.workplace(settings.runs, *machine(settings), force=force, debug=given.debug)
    records = score_given(vectors, name, collection, cuts, place)
    return report_runs(records, settings, rank_by, columns, as_json=as_json, wide=wide)
