"""``simbench embed``: the vectors of a folder of pictures, however large, by a finished run."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.options import Given, configuration, executors, label_folders
from bench.cli.run import go_on_apart, machine, names_in
from bench.cli.terminal import Terminal
from bench.contract import UsageError
from bench.environment import cache_folder, processors, user_path

if TYPE_CHECKING:
    from bench.data.layouts.folder import LabelFrom
    from bench.executors.executor import J, Limits, Pool, Program
    from bench.search.sharded import MakePool


@click.command()
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.argument("folder", metavar="FOLDER", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("vectors.safetensors"),
    help="File for the vectors; the list of pictures goes beside it, as .csv.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Shards at once, on this machine.  [default: one a processor; on a GPU one for every 8 of them and 16 GiB]",
)
@click.option(
    "--shard",
    type=click.IntRange(min=1),
    metavar="N",
    help="Pictures of a shard.  [default: 4,096, or 131,072 on a GPU, where a shard takes seconds to begin]",
)
@label_folders
@executors
@click.option("-q", "--quiet", is_flag=True, help="No progress, only results.")
@configuration
def embed(
    *,
    run: Path,
    folder: Path,
    out: Path,
    jobs: int | None,
    shard: int | None,
    label_from: LabelFrom,
    executor: str,
    address: str | None,
    quiet: bool,
    given: Given,
    **flags: Any,
) -> None:
    """Embed every picture under FOLDER with a finished run's method, in shards, several at once.

    RUN is a run's folder, or one with a single run under it. Written are the vectors, float32 of unit length, and a CSV
    file with a line for each: id (the path within FOLDER) and label (its class folder, as in a run on FOLDER). Pictures
    that cannot be read are listed in a second CSV file, with the reason.

    Vectors are kept in the cache too: a second start embeds what is new or changed, one that was killed resumes, and
    `simbench search --gallery FOLDER` finds them there.

    \b
    simbench embed runs/fashionmnist/loo/arcface ~/pictures --out shoes.safetensors
    simbench embed RUN ~/pictures --jobs 8
    simbench embed RUN /shared/pictures --executor ray --address auto
    simbench evaluate --query shoes.safetensors --query-labels shoes.csv
    """
    if out.suffix.lower() != ".safetensors":
        raise UsageError(f"--out {out}: vectors are written as .safetensors, got {out.suffix or 'no ending'}")
    from bench.devices import card_bytes
    from bench.files import ensure_writable
    from bench.runs.loaded_run import find_run
    from bench.search.sharded import embed_folder, write_gallery

    record, terminal = find_run(user_path(run)), Terminal(quiet=quiet)
    go_on_apart(given, names_in([record]))
    settings = given.load(flags).settings
    device, said, cores = machine(settings)[0], settings.threads, processors()
    jobs = jobs or (max(1, cores // (said or 1)) if device.type == "cpu" else jobs_on_card(card_bytes(device), cores))
    threads = said or max(1, cores // jobs)
    pools = shard_pools(executor, address, cores=max(cores, jobs * threads), jobs=jobs)
    ensure_writable(out.absolute().parent)
    place = terminal.workplace(cache_folder(), device, threads)
    own = embed_folder(folder, record, place, pools, size=shard, label_from=label_from)
    written = write_gallery(out, own, record)
    rows, dimensions = own.items.vectors.shape
    click.echo(
        f"{rows:,} vectors of {dimensions:,} dimensions; pictures: {own.changes}, {len(own.broken):,} unreadable"
    )
    click.echo(f"written: {', '.join(str(path) for path in written)}")


def jobs_on_card(memory: int, cores: int) -> int:
    """Return how many processes embed files best on a card of so many bytes: their threads decode for it.

    Eight threads decode 3,000 photographs a second and keep one interpreter busy; 16 GiB hold the largest usual
    networks with 256 photographs.
    """
    return max(1, min(cores // 8, memory // 2**34))


def shard_pools(executor: str, address: str | None, *, cores: int, jobs: int) -> MakePool:
    """Return what makes the pool that shards run in: ``make_pool``. Raises UsageError at once for what cannot be."""
    if sys.platform == "win32":
        raise UsageError("embedding in several processes needs Linux or macOS; simbench search embeds in one")
    require_executor(executor, address)
    from bench.executors.executor import Limits

    return partial(make_pool, executor=executor, address=address, limits=Limits(), cores=cores, jobs=jobs)


def require_executor(executor: str, address: str | None) -> None:
    """Raise UsageError, before anything is run, for an executor that is not there, or an address of none."""
    if executor == "ray":
        from bench.executors.ray import require_ray

        require_ray()
    elif address is not None:
        raise UsageError("--address is that of a Ray cluster; give --executor ray too")


def make_pool(
    program: Program[J], *, executor: str, address: str | None, limits: Limits, cores: int, jobs: int
) -> Pool[J]:
    """Return the pool that a program's jobs run in. cores: of the Ray cluster, where it is to be started here."""
    from bench.executors.process import LocalPool
    from bench.executors.ray import RayPool

    if executor == "ray":
        return RayPool(program, limits, address=address, cores=cores, jobs=jobs)
    return LocalPool(program, limits, jobs=jobs)
