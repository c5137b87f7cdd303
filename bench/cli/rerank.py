"""``simbench rerank``: what query expansion, database augmentation and the like would do for a finished run."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.options import debugging, wide_tables
from bench.cli.terminal import show

CHAINS = ("aqe", "dba", "dba,aqe", "k-reciprocal", "diffusion")


@click.command()
@click.argument("run_folder", type=click.Path(path_type=Path))
@click.option(
    "-s",
    "--stages",
    "chains",
    multiple=True,
    metavar="A,B",
    help=f"Stages one after another; may be given several times.  [default: {' '.join(CHAINS)}]",
)
@click.option("-k", "--k", type=click.IntRange(min=1), default=10, help="First results to score.")
@click.option(
    "--depth", type=click.IntRange(min=1), default=100, help="Results that k-reciprocal and diffusion order anew."
)
@click.option("--threads", type=click.IntRange(min=1), default=1, help="CPU threads.")
@wide_tables
@debugging
def rerank(*, run_folder: Path, chains: tuple[str, ...], k: int, depth: int, threads: int, wide: bool) -> None:
    """Re-rank a finished run's results: map@k with each chain of stages, against none, query by query.

    Stages with their published defaults, none of them fitted on labels: aqe (query expansion), dba (database
    augmentation), whiten (needs training vectors), k-reciprocal, diffusion. docs/guides/indexes.md says what each does.

    \b
    simbench rerank runs/fashionmnist/loo/triplet/27769359a6/seed0
    simbench rerank runs/digits/loo/pixels -s aqe -s dba,aqe -k 50
    """
    from bench.environment import blas_threads
    from bench.evaluation.cost.timing import fixed_threads
    from bench.report.curves.reranked import as_table
    from bench.report.curves.reranked import rerank as measure
    from bench.runs.loaded_run import find_run
    from bench.runs.ranked import ranked_set

    data = ranked_set(find_run(run_folder))
    with fixed_threads(threads), blas_threads(threads):
        found = measure(data, chains or CHAINS, k=k, depth=depth)
    show(as_table(found, k), wide=wide)
