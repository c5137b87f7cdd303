"""``simbench cache``: what is decoded already, whether it is sound, and making room."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.options import option
from bench.contract import DAMAGED_ARRAYS, UsageError
from bench.environment import cache_folder, user_path
from bench.naming import reason_of

if TYPE_CHECKING:
    from bench.data.decoding.cache_admin import CacheItem

MOST_DIGITS = 20
UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}

place = option(
    "--cache",
    "folder",
    metavar="DIR",
    callback=lambda _, __, folder: user_path(folder) if folder else cache_folder(),
    help="The cache.  [default: the user's cache directory]",
)


@click.group()
def cache() -> None:
    """Look after what is kept so that a second start decodes and embeds nothing twice.

    \b
    simbench cache list
    simbench cache verify
    simbench cache prune --older-than 30
    """


@cache.command("list")
@place
def list_kept(folder: Path) -> None:
    """Tell what is in the cache, how large it is, and when it was last used."""
    from bench.data.decoding.cache_admin import cache_items

    found = cache_items(folder)
    for one in found:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.used))
        click.echo(
            f"{one.key[:12]}  {one.kind:9}  {one.images:9,} images  {one.size:>9}  {_size(one.bytes):>9}  used {used}  "
            f"{one.what}"
        )
    click.echo(f"{len(found)} entries, {_size(sum(one.bytes for one in found))} in {folder}")


@cache.command()
@place
def verify(folder: Path) -> int:
    """Compare what is kept with the checksums that were taken when it was written; exit code 1 if one differs.

    Images decoded, or unpacked from archives and tables, audits, features, and vectors of own pictures.
    """
    from bench.data.decoding.cache_admin import cache_items

    failed = False
    for one in cache_items(folder):
        problem = _problem_of(one)
        failed |= problem is not None
        state = "ok    " if problem is None else "FAILED"
        click.echo(f"{state}  {one.key[:12]}  {one.what}{'' if problem is None else f': {problem}'}")
    if failed:
        click.echo("simbench cache prune --all removes them; they are made again when they are needed", err=True)
    return int(failed)


def _problem_of(item: CacheItem) -> str | None:
    """Return what is wrong with an entry of any kind, or None if every checksum holds."""
    if item.kind == "audit":
        from bench.data.audit.duplicates import verified_copies

        return _problem_in([item.folder], verified_copies, DAMAGED_ARRAYS)
    if item.kind == "features" or item.folder.suffix == ".fitted":
        from bench.training import checkpoints

        files = [item.folder] if item.folder.is_file() else item.folder.glob("*.safetensors")
        return _problem_in(files, checkpoints.verified_checkpoint, checkpoints.DAMAGED)
    if item.kind == "gallery":
        from bench.search.gallery_index import DAMAGED, verified_index

        whole = item.folder.is_file()
        return _problem_in([item.folder] if whole else item.folder.glob("*/*.safetensors"), verified_index, DAMAGED)
    from bench.data.decoding.cache_admin import problem_of

    return problem_of(item)


def _problem_in(
    files: Iterable[Path], read: Callable[[Path], object], damaged: tuple[type[Exception], ...]
) -> str | None:
    for path in files:
        try:
            read(path)
        except damaged as error:
            return reason_of(error)
    return None


@cache.command()
@place
@click.option("--older-than", type=click.FloatRange(min=0), metavar="DAYS", help="What was not used for so many days.")
@click.option("--to-size", metavar="SIZE", help="The longest unused, until so much is left (such as 20G, 500M).")
@click.option("--all", "everything", is_flag=True, help="Every entry that `cache list` shows.")
def prune(folder: Path, *, older_than: float | None, to_size: str | None, everything: bool) -> None:
    """Remove entries, without asking; your own files are never touched, and downloads stay."""
    from bench.data.decoding.cache_admin import cache_items, remove, to_prune

    if not everything and older_than is None and to_size is None:
        raise UsageError("say what to remove: --older-than DAYS, --to-size SIZE, or --all")
    most = None if to_size is None else _bytes(to_size)
    removed = 0
    for one in to_prune(cache_items(folder), everything=everything, days=older_than, most=most):
        gone = remove(one, folder)
        removed += one.bytes if gone else 0
        click.echo(f"{'removed' if gone else 'in use '} {one.key[:12]}  {_size(one.bytes):>9}  {one.what}")
    click.echo(f"{_size(removed)} freed in {folder}")


def _bytes(text: str) -> int:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if found is None or len(found[1]) > MOST_DIGITS:
        raise UsageError(f"--to-size {text[:40]!r}: expected a number of bytes such as 20G, 500M or 0")
    return int(float(found[1]) * UNITS[found[2].upper()])


def _size(count: int) -> str:
    for unit, factor in reversed(UNITS.items()):
        if count >= factor:
            return f"{count / factor:.1f} {unit}B" if unit else f"{count} B"
    return "0 B"
