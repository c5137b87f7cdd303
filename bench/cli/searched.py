"""What ``simbench search`` and ``simbench serve`` search: a run's gallery, or a folder, by a run or without one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.options import together
from bench.cli.run import machine
from bench.cli.terminal import Terminal
from bench.contract import UsageError
from bench.environment import cache_folder
from bench.naming import first_few, readable

if TYPE_CHECKING:
    from bench.config import Config
    from bench.contract import Workplace
    from bench.data.layouts.folder import LabelFrom
    from bench.runs.untrained import UntrainedMethod
    from bench.search.gallery import OwnGallery
    from bench.search.search import Searcher

METHOD = "pretrained"
method_without_run = together(
    click.option(
        "-m",
        "--method",
        metavar="NAME",
        help="Search the --gallery without a run, by a method that uses no labels and trains nothing.  "
        f"[default without --run: {METHOD}]",
    ),
    click.option("-o", "--option", "words", multiple=True, metavar="NAME=VALUE", help="Option of the --method."),
)


def check_choice(run: object, gallery: str | None, method: str | None, words: Sequence[str]) -> None:
    """Raise UsageError unless a run or a folder is given, and a method and its options only where no run is."""
    if run and (method or words):
        raise UsageError("give --run, or --method and -o for a search without a run, not both")
    if not run and gallery is None and (method or words):
        raise UsageError("--method searches a folder of your own: give --gallery DIR")


def open_method(
    folder: Path, method: str | None, words: Sequence[str], config: Config, place: Workplace
) -> UntrainedMethod:
    """Return a method that needs no run, fitted on a folder's pictures. Raises UsageError for one that does."""
    from bench.config import options_for
    from bench.runs.run_plan import chosen_methods
    from bench.runs.untrained import UntrainedMethod
    from bench.search.fitted_on_folder import open_untrained

    found = chosen_methods([method or METHOD])
    if len(found) > 1:
        raise UsageError(f"--method takes one method, and {method} stands for {', '.join(found)}")
    given = {**config.methods.get(found[0], {}), **options_for(words, found)[found[0]]}
    return open_untrained(folder, UntrainedMethod.of(found[0], given, place.device), cache_folder(), place)


def searcher_of_run(
    where: Path, gallery: str | None, jobs: int, place: tuple[Any, int], terminal: Terminal, *, label_from: LabelFrom
) -> tuple[Searcher, OwnGallery | None]:
    """Return what searches, and the own pictures if these are searched; tell what is new among them."""
    import torch

    from bench.runs.loaded_run import open_run
    from bench.search.gallery import open_gallery
    from bench.search.search import Searcher

    device, threads = place
    own = None
    if gallery is not None and jobs > 1:  # now: once this process has used torch, it may not be forked
        own = _embedded(where, Path(gallery), jobs, place, terminal, label_from=label_from)
    torch.set_num_threads(threads)
    run = open_run(where, device)
    if gallery is not None and own is None:
        own = open_gallery(Path(gallery), run, cache_folder(), terminal.progress, terminal.log, label_from=label_from)
    if gallery is not None and own is not None:
        _tell(own, gallery, terminal)
    items = None if own is None else own.items
    return Searcher.of(run, items), own


def searcher_without_run(
    gallery: str,
    method: str | None,
    words: Sequence[str],
    checked: Config,
    terminal: Terminal,
    *,
    label_from: LabelFrom,
) -> tuple[Searcher, OwnGallery]:
    """Return what searches own pictures by a method that needs no run, and these; tell what is new among them."""
    import torch

    from bench.search.gallery import open_gallery
    from bench.search.preparation import Preparation
    from bench.search.search import Searcher

    device, threads = machine(checked.settings)
    torch.set_num_threads(threads)
    place = terminal.workplace(cache_folder(), device, threads)
    opened = open_method(Path(gallery), method, words, checked, place)
    own = open_gallery(Path(gallery), opened, cache_folder(), terminal.progress, terminal.log, label_from=label_from)
    _tell(own, gallery, terminal)
    return Searcher(opened, Preparation.of(opened.shape, opened.resize), own.items), own


def _embedded(
    where: Path, folder: Path, jobs: int, place: tuple[Any, int], terminal: Terminal, *, label_from: LabelFrom
) -> OwnGallery:
    """Return own pictures, those that are new embedded by several processes."""
    from bench.cli.embed import shard_pools
    from bench.runs.loaded_run import find_run
    from bench.search.sharded import embed_folder

    device, threads = place
    shared = terminal.workplace(cache_folder(), device, max(1, threads // jobs))
    pools = shard_pools("local", None, cores=threads, jobs=jobs)
    return embed_folder(folder, find_run(where), shared, pools, label_from=label_from)


def _tell(own: OwnGallery, gallery: str, terminal: Terminal) -> None:
    """Say what has changed among own pictures, and what of them could not be read."""
    if own.changes.any:
        terminal.log(f"{gallery}: {own.changes}")
    if own.broken:
        named = first_few([f"{readable(name)} ({reason})" for name, reason in own.broken])
        terminal.log(f"{gallery}: {len(own.broken):,} pictures left out, as they cannot be read: {named}")
