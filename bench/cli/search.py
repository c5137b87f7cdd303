"""``simbench search``: which pictures are most similar to these, by a finished run or without one?"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.options import Given, configuration, data_root, hardware, label_folders, option
from bench.cli.run import go_on_apart, machine, names_in
from bench.cli.searched import METHOD, check_choice, method_without_run, searcher_of_run, searcher_without_run
from bench.cli.terminal import Terminal
from bench.contract import UsageError
from bench.environment import cache_folder, user_path
from bench.naming import readable

if TYPE_CHECKING:
    from bench.config import Config
    from bench.data.layouts.folder import LabelFrom
    from bench.report.figures.picture_grid import Frame, Pictures
    from bench.search.gallery import OwnGallery
    from bench.search.search import Answer, Hit, Searcher

_ROWS = 100  # queries on one PNG


@dataclass(frozen=True)
class _Asked:
    """A query's file, its label where that is known, and what was found; nearest: even where a threshold hides it."""

    path: Path
    label: str | None
    answer: Answer
    nearest: Hit | None


def _threshold(_: click.Context, parameter: click.Parameter, text: str | None) -> float | None:
    """Turn ``0.8`` into a similarity, ``auto`` into NaN: a click callback."""
    if text is None:
        return None
    if text == "auto":
        return math.nan
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not -1 <= found <= 1:
        raise click.BadParameter(f"expected a similarity from -1 to 1, or auto, got {text!r}", param=parameter)
    return found


@click.command()
@click.argument("queries", nargs=-1, required=True, metavar="PICTURE|FOLDER...", type=click.Path(path_type=Path))
@option("--run", "where", metavar="DIR", help="Folder of a finished run, or one with one run under it.")
@click.option("-k", "--k", type=click.IntRange(min=1), default=8, help="Neighbours of each query.")
@option(
    "--threshold",
    callback=_threshold,
    metavar="X|auto",
    help="Show nothing less similar; auto: the run's own, at the strictest false-match rate that it has fitted.",
)
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
    threshold: float | None,
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
    simbench search shoe.jpg --run RUN --threshold auto                nothing that is no match by validation
    simbench search shoe.jpg --run RUN --gallery ~/pictures --jobs 8    embedded by eight processes
    """
    from bench.runs.loaded_run import find_run

    terminal = Terminal(quiet=quiet or as_json)
    check_choice(where, gallery, method, words)
    if save is not None and save.suffix.lower() != ".png":
        raise UsageError(f"--save {save}: what was found is drawn as .png, got {save.suffix or 'no ending'}")
    if jobs > 1 and gallery is None:
        raise UsageError("--jobs embeds a --gallery: give --gallery DIR, or leave it out")
    if where is None and gallery is None:
        raise UsageError("nothing to search: give --run DIR (a finished run), or --gallery DIR (your own pictures)")
    files = list(_files(queries))
    named = [method or METHOD, *words] if where is None else names_in([find_run(user_path(where))])
    go_on_apart(given, [*named, dataset or ""])
    checked = given.load(flags)
    if where is not None:
        place = machine(checked.settings)
        searcher, own = searcher_of_run(user_path(where), gallery, jobs, place, terminal, label_from=label_from)
    elif jobs > 1:
        raise UsageError("--jobs embeds with a run: give --run")
    else:
        searcher, own = searcher_without_run(str(gallery), method, words, checked, terminal, label_from=label_from)
    least = _least(threshold, where)
    asked, unread = _ask(searcher, own, files, k, terminal)
    asked = [replace(one, answer=one.answer.at_least(least)) for one in asked]
    if as_json:
        click.echo(json.dumps([_facts(one, least) for one in asked], indent=2))
    else:
        for one in asked:
            _print(one, len(searcher.items.names), least)
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
        nearest = answer.hits[0] if answer.hits else None
        asked.append(_Asked(path, label_of_query(path, labels, below), answer, nearest))
    return asked, unread


def _least(threshold: float | None, where: str | None) -> float | None:
    """Return the similarity that ``--threshold`` stands for. Raises UsageError for auto where there is none."""
    from bench.runs.loaded_run import find_run
    from bench.search.threshold import own_threshold

    if threshold is None or not math.isnan(threshold):
        return threshold
    if where is None:
        raise UsageError("--threshold auto is a run's own: give --run, or a similarity such as 0.8")
    return own_threshold(find_run(user_path(where)))


def _print(one: _Asked, searched: int, least: float | None) -> None:
    label = f" [{readable(one.label)}]" if one.label else ""
    answer = one.answer
    times = f"embedded in {answer.embed_ms:.1f} ms, {searched:,} searched in {answer.search_ms:.1f} ms"
    click.echo(f"{readable(str(one.path))}{label}: {times}")
    width = max((len(hit.label or "-") for hit in answer.hits), default=0)
    for hit in answer.hits:
        click.echo(f"  {hit.rank:3}  {hit.similarity:7.4f}  {readable(hit.label or '-'):{width}}  {readable(hit.name)}")
    if least is not None and one.nearest is not None and not answer.hits:
        near = f"the nearest is {readable(one.nearest.name)} at {one.nearest.similarity:.4f}"
        click.echo(f"  nothing similar: none at {least:.4f} or above ({near})")


def _facts(one: _Asked, least: float | None) -> dict[str, Any]:
    answer, nearest = asdict(one.answer), None if one.nearest is None else asdict(one.nearest)
    for hit in (*answer["hits"], *([] if nearest is None else [nearest])):
        hit["name"] = readable(hit["name"])
    said = {"threshold": least, "nearest": nearest}
    return {"query": readable(str(one.path)), "label": one.label, **said, **answer}


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
