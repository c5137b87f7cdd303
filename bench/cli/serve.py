"""``simbench serve``: finished runs side by side, asked with pictures from a browser."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.options import Given, configuration, data_root, folders, hardware, image_places, label_folders, option
from bench.cli.report import opener
from bench.cli.run import go_on_apart, machine
from bench.cli.searched import check_choice, method_without_run, open_method
from bench.cli.terminal import Terminal
from bench.contract import DataError, SimbenchError, UsageError
from bench.environment import cache_folder, user_path

if TYPE_CHECKING:
    from bench.config import Config
    from bench.contract import Dataset
    from bench.data.layouts.folder import LabelFrom
    from bench.runs.loaded_run import TrainedRun
    from bench.runs.store import RunRecord
    from bench.runs.untrained import UntrainedMethod
    from bench.serve.own_folder import OwnFolder
    from bench.serve.shared_gallery import SharedGallery

_EXTRA = "the search page needs more packages: pip install 'simbench-retrieval[serve]' (in a checkout: -e '.[serve]')"


@click.command()
@option(
    "--run",
    "chosen",
    multiple=True,
    metavar="DIR",
    help="Serve this finished run; repeatable.  [default: the lowest seed of each method and options]",
)
@click.option("--gallery", metavar="DIR", help="Serve your own pictures in this folder; none of it needs a run.")
@method_without_run
@label_folders
@folders
@option("--host", default="127.0.0.1", help="Address to listen on.")
@option("--port", type=click.IntRange(0, 65535), default=8000, help="0 takes any free one.")
@image_places
@click.option("--no-images", is_flag=True, help="Do not look for the images: no pictures of what is found.")
@hardware
@data_root
@click.option("-q", "--quiet", is_flag=True, help="No progress, only the address.")
@configuration
def serve(
    *,
    chosen: Sequence[str],
    gallery: str | None,
    method: str | None,
    words: Sequence[str],
    label_from: LabelFrom,
    host: str,
    port: int,
    places: dict[str, str],
    no_images: bool,
    quiet: bool,
    given: Given,
    **flags: Any,
) -> None:
    """Open a page to search by picture: what each method finds, side by side, until Ctrl-C.

    With --gallery it is your own pictures, with one --run or with none (pretrained, fitted on them): pictures that are
    added, changed or removed while it runs are seen within seconds.

    Runs of one data set and protocol share a gallery. Drop, paste or pick a picture, click a result to search from it,
    compare two pictures, and walk between them where a run has a decoder. The report, if there is one, is on the same
    site. Pictures are decoded in memory and never kept. Only this machine can ask, unless --host says otherwise.

    \b
    simbench serve
    simbench serve --run runs/fashionmnist/loo/triplet/KEY/seed0 --run runs/fashionmnist/loo/arcface/KEY/seed0
    simbench serve --images pictures=path/to/pictures --port 9000
    simbench serve --gallery ~/pictures
    """
    try:
        import bench.serve.application  # noqa: F401 - to find out now whether all of the extra is there
        from bench.serve.running import listen
        from bench.serve.running import serve as serve_on
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("starlette", "uvicorn", "python_multipart", "h11"):
            raise
        raise SimbenchError(_EXTRA) from error
    terminal = Terminal(quiet=quiet)
    check_choice(chosen, gallery, method, words)
    if gallery is not None and len(chosen) > 1:
        raise UsageError("--gallery is searched by one run: give one --run, or none")
    if gallery is not None and (places or no_images):
        raise UsageError("--images and --no-images are for runs on a data set: leave them out with --gallery")
    go_on_apart(given)
    checked = given.load(flags)
    listening = listen(host, port)  # before the runs are opened, which takes longer
    if gallery is not None:
        folder = _own_folder(gallery, chosen, method, words, checked=checked, terminal=terminal, label_from=label_from)
        galleries = [folder.open()]
    else:
        folder, opened = None, None if no_images else opener(checked, terminal, places)
        galleries = _galleries(chosen, checked, opened, terminal)
    for one in galleries:
        terminal.log(f"{one.title}: {len(one):,} images, {', '.join(each.name for each in one.contestants)}")
    application = _application(galleries, checked.settings.report, host, folder)
    serve_on(application, listening, lambda: _announce(host, listening))
    terminal.log("stopped")


def _own_folder(
    gallery: str,
    chosen: Sequence[str],
    method: str | None,
    words: Sequence[str],
    *,
    checked: Config,
    terminal: Terminal,
    label_from: LabelFrom,
) -> OwnFolder:
    import torch

    from bench.runs.loaded_run import open_run
    from bench.serve.own_folder import OwnFolder

    device, threads = machine(checked.settings)
    torch.set_num_threads(threads)
    place = terminal.workplace(cache_folder(), device, threads)
    if chosen:
        run: TrainedRun | UntrainedMethod = open_run(user_path(chosen[0]), device)
    else:
        run = open_method(Path(gallery), method, words, checked, place)
    return OwnFolder(Path(gallery), run, place, label_from=label_from)


def _galleries(
    chosen: Sequence[str], checked: Config, opened: Callable[[RunRecord], Dataset] | None, terminal: Terminal
) -> list[SharedGallery]:
    import torch

    from bench.runs.loaded_run import find_run, open_run
    from bench.runs.store import all_runs
    from bench.serve.shared_gallery import choose_records, open_galleries

    device, threads = machine(checked.settings)
    torch.set_num_threads(threads)
    if chosen:
        found = [find_run(user_path(where)) for where in chosen]
        records = list({record.folder.resolve(): record for record in found}.values())
    else:
        records = choose_records(all_runs(Path(checked.settings.runs)))
    if not records:
        raise DataError(
            f"no finished runs with weights in {checked.settings.runs}; start with: simbench run -m pixels -m arcface"
        )
    return open_galleries(
        records, lambda record: open_run(record.folder, device), opened, terminal.progress, terminal.log
    )


def _application(galleries: list[SharedGallery], report: Path, host: str, folder: OwnFolder | None) -> Any:
    from bench.serve.application import Site, build
    from bench.serve.running import is_loopback

    hosts = frozenset({"localhost", "127.0.0.1", "::1", host.lower()}) if is_loopback(host) else None
    return build(Site(galleries, report, hosts, folder=folder))


def _announce(host: str, listening: Any) -> None:
    from bench.serve.running import address_of, is_loopback

    if not is_loopback(host):
        click.echo("simbench: warning: whoever reaches this machine can ask this server; it has no passwords", err=True)
    click.echo(f"search page: {address_of(listening)} (Ctrl-C stops it)")
