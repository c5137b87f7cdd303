"""Promises about ``fit``: it depends on its seed and changes nothing but the method."""

from __future__ import annotations

from bench.contract import SimbenchError, uses_labels
from bench.runs.conformance.trial import GREY, Trial, require_same, try_out


def same_for_the_same_seed(one: Trial) -> None:
    """Whatever the process has drawn before: a run that is one of many equals the run alone."""
    require_same(one.vectors, try_out(type(one.method), GREY, process_seed=1).vectors)


def learns_without_labels(one: Trial) -> None:
    """A method that says it never looks at labels learns the same whatever they are."""
    if not uses_labels(one.method):  # more images than a batch holds: labels must not decide which come together
        known, exchanged = (try_out(type(one.method), GREY, count=300, relabelled=other) for other in (False, True))
        require_same(known.vectors, exchanged.vectors)


def leaves_the_process_as_it_was(one: Trial) -> None:
    """The next method of a matrix of runs starts where this one did."""
    if one.changed:
        raise SimbenchError(f"fit changed {', '.join(one.changed)}")
