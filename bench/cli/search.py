"""``simbench search``: which pictures does a finished run find most similar?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.options import Given, configuration, data_root, hardware, label_folders, option
from bench.cli.run import go_on_apart, machine, names_in
from bench.cli.terminal import Terminal
from bench.cli.untrained import METHOD, check_choice, method_without_run, open_method
from bench.contract import UsageError
from bench.environment import cache_folder, user_path
from bench.naming import first_few, readable

if TYPE_CHECKING:
    from bench.config import Config
    from bench.data.layouts.folder import LabelFrom
    from bench.report.figures.picture_grid import Frame, Pictures
    from bench.search.gallery import OwnGallery
    from bench.search.search import Answer, Searcher

_ROWS = 100  # queries on one PNG


@dataclass(frozen=True)
class _Asked:
    """A query's file, its label where that is known, and what was found."""

    path: Path
    label: str | None
    answer: Answer


@click.command()
@click.argument("queries", nargs=-1, required=True, metavar="PICTURE|FOLDER...", type=click.Path(path_type=Path))
@option("--run", "where", metavar="DIR", help="Folder of a finished run, or one with one run under it.")
@click.option("-k", "--k", type=click.IntRange(min=1), default=8, help="Neighbours of each query.")
@click.option("--gallery", metavar="DIR", help="Search the pictures in this folder.  [default: the run's own gallery]")
@method_without_run
@label_folders
@click.option("--jobs", type=click.IntRange(min=1), default=1, metavar="N", help="Processes that embed the --gallery.")
@click.option("--save", type=click.Path(dir_okay=False, path_type=Path), help="PNG file to draw what was found in.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
@click.option("-d", "--dataset", metavar="NAME|PATH", help="The run's data set, for --save.  [default: by its name]")
@hardware
@data_root
@click.option("-q", "--quiet", is_flag=True, help="No progress, only results.")
@configuration
def search(
    queries: Sequence[Path],
    *,
    where: str | None,
    k: int,
    gallery: str | None,
    method: str | None,
    words: Sequence[str],
    label_from: LabelFrom,
    jobs: int,
    save: Path | None,
    as_json: bool,
    dataset: str | None,
    quiet: bool,
    given: Given,
    **flags: Any,
) -> int:
    """Find the pictures most similar to yours, with a finished run's method or without a run: exact, by cosine.

    Searched is the run's own gallery, or with --gallery any folder of pictures: they are embedded once and kept in the
    cache; later starts embed only what was added or changed. A query that lies in that folder does not find itself.

    A --gallery needs no run: pretrained, or another --method that uses no labels, is fitted on the folder's pictures.

    \b
    simbench search shoe.jpg --run runs/fashionmnist/loo/arcface
    simbench search shoe.jpg bags/ --run RUN -k 12 --save found.png
    simbench search shoe.jpg --run RUN --gallery ~/pictures --json
    simbench search shoe.jpg --gallery ~/pictures                      no run: ImageNet features
    simbench search shoe.jpg --gallery ~/pictures -m pretrained -o model=resnet50.a1_in1k
    simbench search shoe.jpg --run RUN --gallery ~/pictures --jobs 8    embedded by eight processes
    """
    from bench.runs.loaded_run import find_run

    terminal = Terminal(quiet=quiet or as_json)
    check_choice(where, gallery, method, words)
    if where is None and gallery is None:
        raise UsageError("nothing to search: give --run DIR (a finished run), or --gallery DIR (your own pictures)")
    files = list(_files(queries))
    named = [method or METHOD, *words] if where is None else names_in([find_run(user_path(where))])
    go_on_apart(given, [*named, dataset or ""])
    checked = given.load(flags)
    if where is not None:
        place = machine(checked.settings)
        searcher, own = _searcher(user_path(where), gallery, jobs, place, terminal, label_from=label_from)
    elif jobs > 1:
        raise UsageError("--jobs embeds with a run: give --run")
    else:
        searcher, own = _without_run(str(gallery), method, words, checked, terminal, label_from=label_from)
    asked, unread = _ask(searcher, own, files, k, terminal)
    if as_json:
        click.echo(json.dumps([_facts(one) for one in asked], indent=2))
    else:
        for one in asked:
            _print(one, len(searcher.items.names))
    for path, reason in unread:
        click.echo(f"simbench: {readable(str(path))}: cannot be read ({reason})", err=True)
    if save is not None and asked:
        pictures = _pictures(where, own, dataset, checked, terminal)
        _draw(asked[:_ROWS], pictures, save)
        drawn = f" (the first {_ROWS} of {len(asked):,} queries)" if len(asked) > _ROWS else ""
        click.echo(f"\npicture: {save}{drawn}", err=as_json)
    return int(bool(unread))


def _files(queries: Sequence[Path]) -> Iterator[tuple[Path, Path | None]]:
    """Yield every query, and the folder that was given for it (None for a file); of a folder, its pictures.

    Raises UsageError for what is not there or has none.
    """
    from bench.data.layouts.folder import walk

    for query in queries:
        if not query.is_dir():
            if not query.exists():
                raise UsageError(f"{query}: no such file or folder")
            yield query, None
            continue
        found = [Path(path) for path, image in walk(query) if image]
        if not found:
            raise UsageError(f"{query}: no pictures in it")
        yield from ((path, query) for path in found)


def _searcher(
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


def _without_run(
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
    seen = own.changes
    if seen.any:
        news = f"{seen.added:,} added, {seen.changed:,} changed, {seen.deleted:,} deleted, {seen.unchanged:,} as before"
        terminal.log(f"{gallery}: {news}")
    if own.broken:
        named = first_few([f"{readable(name)} ({reason})" for name, reason in own.broken])
        terminal.log(f"{gallery}: {len(own.broken):,} pictures left out, as they cannot be read: {named}")


def _ask(
    searcher: Searcher, own: OwnGallery | None, files: Sequence[tuple[Path, Path | None]], k: int, terminal: Terminal
) -> tuple[list[_Asked], list[tuple[Path, str]]]:
    """Return what was found for every query that can be read, and the others with their reasons."""
    from bench.data.decoding.image_source import UnreadableImageError
    from bench.search.search import label_of_query

    labels = frozenset(searcher.items.labels)
    asked, unread = [], []
    for path, below in terminal.progress(files, total=len(files), what="search"):
        itself = None if own is None else own.name_of(path)
        try:
            answer = searcher.by_file(path, k, exclude=itself)
        except UnreadableImageError as error:
            unread.append((path, str(error)))
            continue
        asked.append(_Asked(path, label_of_query(path, labels, below), answer))
    return asked, unread


def _print(one: _Asked, searched: int) -> None:
    label = f" [{readable(one.label)}]" if one.label else ""
    answer = one.answer
    times = f"embedded in {answer.embed_ms:.1f} ms, {searched:,} searched in {answer.search_ms:.1f} ms"
    click.echo(f"{readable(str(one.path))}{label}: {times}")
    width = max((len(hit.label or "-") for hit in answer.hits), default=0)
    for hit in answer.hits:
        click.echo(f"  {hit.rank:3}  {hit.similarity:7.4f}  {readable(hit.label or '-'):{width}}  {readable(hit.name)}")


def _facts(one: _Asked) -> dict[str, Any]:
    answer = asdict(one.answer)
    for hit in answer["hits"]:
        hit["name"] = readable(hit["name"])
    return {"query": readable(str(one.path)), "label": one.label, **answer}


def _pictures(
    where: str | None, own: OwnGallery | None, dataset: str | None, checked: Config, terminal: Terminal
) -> Pictures:
    """Return how what is searched looks: the files of own pictures, or the images of the run's data set."""
    from bench.report.figures.picture_grid import pictures_in, pictures_of
    from bench.runs.loaded_run import find_run, images_of

    if own is not None:
        return pictures_in(own.root)
    data = images_of(find_run(user_path(where or "")), checked, terminal.progress, cache_folder(), where=dataset)
    return pictures_of(data.gallery)


def _draw(asked: Sequence[_Asked], pictures: Pictures, save: Path) -> None:
    from bench.files import write_bytes
    from bench.report.figures.picture_grid import Tile, draw_grid, picture_of_file

    rows = []
    for one in asked:
        row = [Tile(picture_of_file(one.path), (readable(one.path.name), one.label or "query"), "query")]
        for hit in one.answer.hits:
            frame: Frame = "none" if one.label is None else "right" if hit.label == one.label else "wrong"
            row.append(Tile(pictures(hit.name), (f"{hit.rank}: {hit.similarity:.3f}", hit.label or hit.name), frame))
        rows.append(row)
    write_bytes(save, draw_grid(rows))
