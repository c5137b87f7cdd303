"""``simbench index``: what approximate search would cost a finished run, in labels, milliseconds and bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from bench.cli.options import debugging, plugin_folders, whole_numbers, wide_tables
from bench.cli.terminal import Terminal, show


@click.command()
@click.argument("run_folder", type=click.Path(path_type=Path))
@click.option("-k", "--k", type=int, default=10, help="How many images a search returns.")
@click.option("--only", metavar="A,B", help="Families, such as hnsw,ivf; all: simbench list indexes.")
@click.option("--dims", callback=whole_numbers, metavar="D,E", help="Dimensions.  [default: all, a half, a quarter]")
@click.option("--threads", type=click.IntRange(min=1), default=1, help="Threads of every search.")
@click.option("--timed", type=click.IntRange(min=1), default=1_000, help="How many single queries are timed.")
@click.option(
    "--clock",
    type=click.Choice(["wall", "processor"]),
    default="wall",
    help="Which p95 decides the front: a busy machine lengthens the wall clock's.",
)
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="Where to write.  [default: index/ in the run]"
)
@plugin_folders
@wide_tables
@click.option("-q", "--quiet", is_flag=True, help="No progress, only the tables.")
@debugging
def index(
    *,
    run_folder: Path,
    k: int,
    only: str | None,
    dims: tuple[int, ...] | None,
    threads: int,
    timed: int,
    clock: Literal["wall", "processor"],
    out: Path | None,
    wide: bool,
    quiet: bool,
) -> None:
    """Search a finished run's vectors with faiss's indexes: label map@k against p95 latency and bytes an image.

    Every index, lossy codes also refined, in all dimensions and in fewer (by PCA and by truncation), with several
    settings. Writes frontier.csv, frontier.svg, frontier.png, latency.npz (every time taken) and frontier.json (what
    made them); prints the Pareto front. It is measured on query and gallery: a setting chosen by it has seen the test.

    \b
    simbench index runs/fashionmnist/loo/triplet/27769359a6/seed0
    simbench index runs/fashionmnist/loo/triplet --only hnsw,ivf --dims 128,32 -k 50
    """
    from bench.evaluation.indexes.sweep import Sweep, mark_front
    from bench.files import ensure_writable
    from bench.report.curves.index_frontier import draw, tables, write_points
    from bench.runs.loaded_run import find_run
    from bench.runs.ranked import ranked_set

    families = [word.strip() for word in (only or "").split(",") if word.strip()]
    record, terminal = find_run(run_folder), Terminal(quiet=quiet)
    folder = out or record.folder / "index"
    ensure_writable(folder)
    data = ranked_set(record)
    sweep = Sweep(data, k, threads, timed)
    tasks = sweep.plan(dims or (), families)
    measured = terminal.progress(sweep.measure(tasks), total=len(tasks), what="indexes")
    points = mark_front([point for points in measured for point in points], clock)
    write_points(points, record, folder, k=k, threads=threads, clock=clock)
    figure = draw(points, record, k=k, clock=clock, threads=threads)
    for ending in ("svg", "png"):
        figure.savefig(folder / f"frontier.{ending}", dpi=150)
    show(tables(points, data, k=k, clock=clock), wide=wide)
    terminal.log(f"\nwritten: {folder / 'frontier.csv'}, frontier.svg, frontier.png")
