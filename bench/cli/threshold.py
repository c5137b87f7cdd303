"""``simbench threshold``: from which similarity two pictures are the same, and what that is worth."""

from __future__ import annotations

import json
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.options import debugging, option
from bench.contract import UsageError, to_jsonable

if TYPE_CHECKING:
    from bench.runs.store import RunRecord
    from bench.search.threshold import Meaning

_RATE = 1e-3


def _prior(_: click.Context, parameter: click.Parameter, text: str | None) -> float | None:
    """Turn ``1/50`` and ``0.02`` into a probability: a click callback."""
    if text is None:
        return None
    try:
        found = float(Fraction(text.strip()))
    except (ValueError, ZeroDivisionError, OverflowError):
        found = 0.0
    if not 0 < found < 1:
        raise click.BadParameter(f"expected a probability between 0 and 1, such as 1/50, got {text!r}", param=parameter)
    return found


@click.command()
@click.argument("run_folder", type=click.Path(path_type=Path), metavar="RUN")
@option(
    "--false-matches",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    metavar="RATE",
    help=f"Share of pairs of two classes that may be taken for one.  [default: {_RATE:g}]",
)
@option(
    "--similarity", type=click.FloatRange(-1, 1), metavar="X", help="Say what this similarity means; nothing is fitted."
)
@option(
    "--prior",
    callback=_prior,
    metavar="1/N",
    help="How probable one class is before two pictures are looked at.  [default: one in the gallery's classes]",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
@debugging
def threshold(
    *, run_folder: Path, false_matches: float | None, similarity: float | None, prior: float | None, as_json: bool
) -> None:
    """Say from which similarity two pictures are the same, for a finished run and a rate of false matches.

    The threshold is fitted on the run's validation pairs and measured on test: all pairs of the queries (a seeded 2,000
    at most) with the gallery. A run without validation pairs is fitted on a half of its gallery's images, and measured
    on the other; the output says so.

    How probable it is that two pictures are of one class depends on how probable it was before: --prior says so.

    \b
    simbench threshold runs/digits/loo/pixels
    simbench threshold RUN --false-matches 1e-2 --prior 1/500
    simbench threshold RUN --similarity 0.83 --json
    """
    from bench.runs.loaded_run import find_run
    from bench.runs.ranked import ranked_set
    from bench.search.threshold import meaning_of, threshold_at

    if false_matches is not None and similarity is not None:
        raise UsageError("give --false-matches or --similarity, not both")
    record = find_run(run_folder)
    data = ranked_set(record)
    if similarity is not None:
        found = meaning_of(record, data, similarity, prior=prior)
    else:
        found = threshold_at(record, data, _RATE if false_matches is None else false_matches, prior=prior)
    if as_json:
        click.echo(json.dumps(to_jsonable({"run": str(record.folder), **asdict(found)}), indent=2, allow_nan=False))
        return
    click.echo("\n".join(_lines(record, found, given_prior=prior is not None)))


def _lines(record: RunRecord, found: Meaning, *, given_prior: bool) -> list[str]:
    run, seen = record.result, found.measured
    of = f"{run.method} on {run.dataset} ({run.protocol}), seed {run.seed}"
    source = "as asked" if given_prior else "one in the classes of the gallery"
    lines = [
        f"{of}: similarity >= {seen.threshold:.4f}",
        *_of_the_fit(found),
        f"on test: FMR {_measured(seen.fmr, seen.false_matches, seen.different, found.fmr_interval)}",
        f"         FNMR {_measured(seen.fnmr, seen.false_non_matches, seen.same, found.fnmr_interval)}",
        "the intervals are exact for independent pairs; pairs share images, so that the truth is wider",
        f"two pictures are of one class with the probability, where it is {_odds(found.prior)} before ({source}):",
    ]
    if found.probability is not None and found.equal_odds is not None:
        lines.append(f"  at this similarity  {found.probability:.3f} (at equal odds before: {found.equal_odds:.3f})")
    low, high = found.matches_right
    return [*lines, f"  at it or above      {low:.3f} to {high:.3f}"]


def _of_the_fit(found: Meaning) -> list[str]:
    from bench.search.threshold import TEST_HALF

    if found.fitted_on is None:
        return ["nothing could be fitted: no pairs of one class and of two"]
    lines = []
    if found.fitted_fmr is not None:
        rate = f"asked for FMR {found.measured.target:g}, there {found.fitted_fmr:.5f}"
        lines = [f"fitted on {found.fitted_on}: {found.fitted_pairs:,} pairs of two classes; {rate}"]
    if found.fitted_on == TEST_HALF:
        lines.append(
            "this run keeps no validation pairs: LABELS OF TEST WERE USED, those of a seeded half of the gallery; "
            "measured on the other"
        )
    return lines


def _measured(rate: float, wrong: int, pairs: int, interval: tuple[float, float]) -> str:
    return f"{rate:.5f} ({wrong:,} of {pairs:,} pairs; 95 % interval {interval[0]:.5f} to {interval[1]:.5f})"


def _odds(prior: float) -> str:
    return f"1/{1 / prior:.6g}" if prior <= 0.5 else f"{prior:g}"
