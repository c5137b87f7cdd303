"""What changed copies say of methods that need no labels: in plain sentences, with their limits, and as JSON."""

from __future__ import annotations

import shlex
from typing import Any

import numpy as np

from bench.choose.copies import KINDS, CopiesFound, Recovered, spread, strength
from bench.evaluation.ranking.arrays import Floats
from bench.evaluation.statistics.estimates import estimate
from bench.evaluation.thresholds.meaning import interval_of
from bench.report.tables.wording import difference_in_words, many

HEADS = ("method", "copy", "ms", "bytes", "hit@1", "95 %", "mrr", "95 %", "consistency")
_FLOAT = 4  # bytes of a number

# What is known beforehand: map of methods that use no labels on photographs with labels, protocol loo, as published in
# results/photographs; a test compares them.
PRIOR = {
    "81 groceries": {"pretrained": 0.482, "pixels": 0.102, "hog": 0.058},
    "cats and dogs": {"pretrained": 0.911, "hog": 0.526, "pixels": 0.508},
}


def copies_in_words(found: CopiesFound) -> str:
    """Return what was looked at."""
    told = f"{found.folder}: {many(found.pictures, 'picture')} without labels"
    told += f", {found.unreadable:,} more cannot be read" if found.unreadable else ""
    told += f"; {found.twice:,} lie there more than once, each of which counts as found" if found.twice else ""
    kinds = "; ".join(f"{kind}: {strength(kind)}" for kind in KINDS)
    return f"{told}. Copies of {found.asked:,} of them were looked for among all ({kinds})."


def copies_sentences(found: CopiesFound) -> list[tuple[str, str]]:
    """Return what was found as (heading, sentence) pairs."""
    return [
        ("Kinds of things", _prior()),
        ("Copies", _copies(found)),
        ("Together", _together(found)),
        ("Limits", _limits()),
        *[("Left out", f"{rung.words}: {why}.") for rung, why in found.left_out],
    ]


def copies_commands(found: CopiesFound) -> list[tuple[str, str]]:
    """Return what to type next as (heading, command) pairs."""
    folder, best = shlex.quote(str(found.folder)), found.quickest
    options = "".join(f" -o {name}={value}" for name, value in best.rung.options.items())
    return [
        ("Search copies", f"simbench search PICTURE --gallery {folder} -m {best.rung.method}{options}"),
        ("Search kinds", f"simbench search PICTURE --gallery {folder} -m {_favourite()}"),
        ("With labels", "simbench choose LABELLED --labels few      (two to five pictures a class, a folder a class)"),
    ]


def copies_rows(found: CopiesFound) -> list[list[str]]:
    """Return a row of ``HEADS`` for each method and kind of copy, the best method first."""
    rows = []
    for one in found.methods:
        for at, kind in enumerate(KINDS):
            costs = [f"{one.ms:.1f}", f"{_FLOAT * one.dimensions:,}"] if at == 0 else ["", ""]
            scores = _scores(one, kind)
            cells = [
                f"{scores['hit@1']:.3f}", _ends(scores["hit@1_ci95"]), f"{scores['mrr']:.3f}",
                _ends(scores["mrr_ci95"]), f"{scores['consistency']:.2f}",
            ]  # fmt: skip
            rows.append([one.name if at == 0 else "", kind, *costs, *cells])
    return rows


def copies_facts(found: CopiesFound) -> dict[str, Any]:
    """Return everything for programs, as JSON-able values."""
    return {
        "data": str(found.folder),
        "pictures": found.pictures,
        "unreadable": found.unreadable,
        "asked": found.asked,
        "more_than_once": found.twice,
        "copies": {kind: strength(kind) for kind in KINDS},
        "prior": PRIOR,
        "says": dict(copies_sentences(found)),
        "rows": [
            {
                "method": one.rung.method,
                "options": dict(one.rung.options),
                "mean_mrr": float(one.merit.mean()),
                "copies": {kind: _scores(one, kind) for kind in KINDS},
                "ms": round(one.ms, 3),
                "bytes": _FLOAT * one.dimensions,
            }
            for one in found.methods
        ],
        "tied": [one.name for one in found.tied],
        "next": dict(copies_commands(found)),
    }


def _scores(one: Recovered, kind: str) -> dict[str, Any]:
    hits, mrr = one.hits[kind], estimate(spread(one.reciprocal[kind]))
    return {
        "hit@1": float(hits.mean()),
        "hit@1_ci95": list(interval_of(int(hits.sum()), len(hits))),
        "mrr": mrr.mean,
        "mrr_ci95": [max(0.0, mrr.low), min(1.0, mrr.high)],
        "consistency": float(one.near[kind].mean()),
    }


def _prior() -> str:
    told = "; ".join(
        f"{data}: " + ", ".join(f"{method} {value:.3f}" for method, value in scores.items())
        for data, scores in PRIOR.items()
    )
    return (
        f"Which method finds other pictures of the same kind cannot be measured without labels. On photographs with "
        f"labels the order by map was: {told}. So unless you know better: {_favourite()}."
    )


def _copies(found: CopiesFound) -> str:
    best = found.methods[0]
    firsts = ", ".join(f"{best.hits[kind].mean():.1%} ({kind})" for kind in KINDS)
    told = f"{best.name} finds them best; the original comes first for {firsts} of the copies."
    if len(found.methods) > 1:
        rival, apart = found.methods[1], found.against[0]
        said = difference_in_words(best.name, rival.name, -apart.difference, told=apart.separable)
        told += f" By mean reciprocal rank {said}."
    if len(found.tied) > 1:
        told += f" Of those that cannot be told apart, {found.quickest.name} is the quickest in use."
    return told


def _together(found: CopiesFound) -> str:
    if any(one.rung.method == _favourite() for one in found.tied):
        return f"Both speak for {_favourite()}."
    return (
        f"They disagree: {found.methods[0].name} to find copies and duplicates, {_favourite()} to find other pictures "
        "of the same kind."
    )


def _limits() -> str:
    return (
        "Copies say whether a picture is known again, not whether two pictures show one kind of thing: on groceries "
        "such as those above, pixels and edges found copies best and kinds worst. Copies are made at each method's own "
        "input, of these strengths only; intervals are over pictures of this folder. Two labelled pictures a class "
        "say more."
    )


def _favourite() -> str:
    """Return what is best on all that was recorded, by its mean map."""
    methods = next(iter(PRIOR.values()))
    means: dict[str, Floats] = {one: np.array([scores[one] for scores in PRIOR.values()]) for one in methods}
    return max(means, key=lambda one: float(means[one].mean()))


def _ends(both: list[float]) -> str:
    return f"{both[0]:.3f} to {both[1]:.3f}"
