"""``simbench decode``: what does an embedding look like?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.options import Given, configuration, hardware, option
from bench.cli.run import go_on_apart, machine, names_in
from bench.contract import DAMAGED_ARRAYS, DataError, UsageError
from bench.environment import user_path

if TYPE_CHECKING:
    from bench.evaluation.ranking.arrays import Vectors
    from bench.report.figures.picture_grid import Tile
    from bench.runs.loaded_run import RunGallery, TrainedRun

_MOST_VECTORS = 1_000  # of a file; more is no picture that anybody looks at
_ACROSS = 10  # pictures in a row

file = click.Path(dir_okay=False, path_type=Path)


@click.command()
@option("--run", "where", required=True, metavar="DIR", help="Folder of a finished run, or one with one run under it.")
@click.option("--classes", is_flag=True, help="Decode the mean vector of each class.  [default]")
@click.option(
    "--walk", "walks", nargs=2, multiple=True, metavar="A B", help="Walk from A to B, ids or files; repeatable."
)
@click.option("--steps", type=click.IntRange(2, 50), default=8, help="Pictures on a walk.")
@click.option("--image", "images", type=file, multiple=True, help="Embed a file and decode it again; repeatable.")
@click.option("--vector", type=file, help="Decode the vectors in a .npy file, (d,) or (n, d).")
@click.option("--save", type=file, default=Path("decoded.png"), help="PNG file to draw in.")
@hardware
@configuration
def decode(
    *,
    where: str,
    classes: bool,
    walks: Sequence[tuple[str, str]],
    steps: int,
    images: Sequence[Path],
    vector: Path | None,
    save: Path,
    given: Given,
    **flags: Any,
) -> None:
    """Turn embeddings back into pictures, with a finished run that has a decoder, and draw them as one PNG.

    Ids are those of the run's gallery, as `simbench search` prints them. A walk goes along the sphere that embeddings
    lie on, at even angles. Class means are of the gallery: something to look at, in no score.

    \b
    simbench decode --run runs/fashionmnist/loo/arcface
    simbench decode --run RUN --walk test/00000 test/00019 --walk shoe.png bag.png --steps 12 --save walk.png
    simbench decode --run RUN --image shoe.jpg
    simbench decode --run RUN --vector v.npy
    """
    import torch

    from bench.files import write_bytes
    from bench.report.figures.picture_grid import draw_grid
    from bench.runs.loaded_run import find_run, open_run

    go_on_apart(given, names_in([find_run(user_path(where))]))
    device, threads = machine(given.load(flags).settings)
    torch.set_num_threads(threads)
    run = open_run(user_path(where), device)
    rows: list[list[Tile]] = []
    if classes or not (walks or images or vector):
        rows += _class_rows(run)
    if walks:
        rows += _walk_rows(run, walks, steps)
    if images:
        rows += _image_rows(run, images)
    if vector is not None:
        rows += _vector_rows(run, vector)
    write_bytes(save, draw_grid(rows))
    click.echo(f"picture: {save} ({sum(map(len, rows))} pictures)")


def _captioned(pictures: Iterable[Any], captions: Iterable[str]) -> list[Tile]:
    from bench.report.figures.picture_grid import Tile

    return [Tile(picture, (caption,)) for picture, caption in zip(pictures, captions, strict=True)]


def _class_rows(run: TrainedRun) -> list[list[Tile]]:
    from bench.evaluation.ranking.vectors import class_means

    gallery = run.gallery()
    found, means = class_means(gallery.vectors, gallery.labels)
    return _in_rows(_captioned(run.decode(means), [gallery.classes[number] for number in found.tolist()]))


def _walk_rows(run: TrainedRun, walks: Sequence[tuple[str, str]], steps: int) -> list[list[Tile]]:
    from bench.evaluation.ranking.vectors import spherical_walk

    gallery = run.gallery()
    rows = []
    for ends in walks:
        first, last = (_vector_of(run, gallery, end) for end in ends)
        shares = [f"{100 * step / (steps - 1):.0f} %" for step in range(steps)]
        shares[0], shares[-1] = ends
        rows.append(_captioned(run.decode(spherical_walk(first, last, steps)), shares))
    return rows


def _vector_of(run: TrainedRun, gallery: RunGallery, end: str) -> Vectors:
    """Return the unit vector ``(d,)`` of an id of the gallery or of an image file."""
    import numpy as np

    rows = np.flatnonzero(gallery.ids == end)
    if len(rows):
        found = gallery.vectors[rows]
    elif Path(end).is_file():
        found = run.embed(_prepared(run, Path(end))[None])
    else:
        raise UsageError(
            f"{end!r} is neither a file nor an id of the run's gallery, such as {str(gallery.ids[0])!r} or "
            f"{str(gallery.ids[-1])!r}"
        )
    vector: Vectors = found[0]
    return vector


def _image_rows(run: TrainedRun, images: Sequence[Path]) -> list[list[Tile]]:
    """Return a row a file: what the method sees of it, and what is left of that in the vector."""
    import numpy as np

    from bench.report.figures.picture_grid import Tile

    seen = np.stack([_prepared(run, path) for path in images])
    vectors = run.embed(seen)
    decoded = run.decode(vectors)
    cosines = np.einsum("ij,ij->i", vectors, run.embed(decoded))
    return [
        [Tile(before, (path.name,), "query"), Tile(after, (f"cosine {cosine:.3f}",))]
        for path, before, after, cosine in zip(images, seen, decoded, cosines, strict=True)
    ]


def _prepared(run: TrainedRun, path: Path) -> Any:
    from bench.data.decoding.image_source import UnreadableImageError
    from bench.search.preparation import Preparation

    try:
        return Preparation.of(run.shape, run.resize).file(path)
    except UnreadableImageError as error:
        raise DataError(f"{path}: cannot be read ({error})") from error


def _vector_rows(run: TrainedRun, path: Path) -> list[list[Tile]]:
    import numpy as np

    from bench.evaluation.ranking.vectors import normalize_rows

    try:
        given = np.atleast_2d(np.load(path, allow_pickle=False))
    except DAMAGED_ARRAYS as error:
        reason = getattr(error, "strerror", None) or "no .npy file of plain numbers"
        raise DataError(f"{path}: cannot be read ({reason})") from error
    if given.ndim != 2 or given.shape[1] != run.dimension or given.dtype.kind not in "fiu":
        raise DataError(
            f"{path}: expected numbers ({run.dimension},) or (n, {run.dimension}), got {given.dtype} {given.shape}"
        )
    if len(given) > _MOST_VECTORS:
        raise DataError(
            f"{path}: {len(given):,} vectors, more than the {_MOST_VECTORS:,} that one PNG shows; give fewer"
        )
    decoded = run.decode(normalize_rows(given, str(path)))
    return _in_rows(_captioned(decoded, map(str, range(len(decoded)))))


def _in_rows(tiles: list[Tile]) -> list[list[Tile]]:
    return [tiles[start : start + _ACROSS] for start in range(0, len(tiles), _ACROSS)]
