"""What ``simbench search`` and ``simbench serve`` share: a method that needs no run, on one's own folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.options import together
from bench.contract import UsageError
from bench.environment import cache_folder

if TYPE_CHECKING:
    from bench.config import Config
    from bench.contract import Workplace
    from bench.runs.untrained import UntrainedMethod

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
    from bench.search.untrained import open_untrained

    found = chosen_methods([method or METHOD])
    if len(found) > 1:
        raise UsageError(f"--method takes one method, and {method} stands for {', '.join(found)}")
    given = {**config.methods.get(found[0], {}), **options_for(words, found)[found[0]]}
    return open_untrained(folder, UntrainedMethod.of(found[0], given, place.device), cache_folder(), place)
