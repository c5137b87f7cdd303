"""What is found out about a run beside its scores: copies in its data, sanity checks, and thresholds."""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Overlap:
    """How many of a part's images have a copy in another part, or, where it is the same, a second one in it.

    part, other: their names; images: in the part; exact: with the same pixels; near: with no such copy, but a near one;
    mirrored: of these, mirrored ones only.
    """

    part: str
    other: str
    images: int
    exact: int
    near: int
    mirrored: int

    @property
    def found(self) -> int:
        return self.exact + self.near


@dataclass(frozen=True)
class Audit:
    """What is wrong with a data set under a protocol. ``train`` stands for training and validation images together.

    queries: how many ask; scored: those that have something to find in the gallery, itself not counted;
    leaks: query and gallery images that were seen in training (not the gallery of protocol database, which is the
    train part); overlaps: the other copies, where there are any; conflicts: groups of equal images, and near pairs, of
    more than one label; examples: some of them; unasked: classes of the gallery without a query.
    """

    queries: int
    scored: int
    leaks: tuple[Overlap, ...]
    overlaps: tuple[Overlap, ...]
    conflicts: int
    examples: tuple[str, ...]
    unasked: tuple[str, ...]

    @property
    def leaked(self) -> int:
        return sum(leak.found for leak in self.leaks)


@dataclass(frozen=True)
class Control:
    """One check of an evaluation.

    name; value: NaN where it could not be worked out; limit: that the value must keep, None where it is only told;
    passed: whether it does; meaning: what the value says.
    """

    name: str
    value: float
    limit: float | None
    passed: bool
    meaning: str


@dataclass(frozen=True)
class Rejection:
    """A threshold for the nearest item: queries with a less similar one are rejected.

    threshold: the similarity; accepted, detected: shares on validation of known queries accepted, and of the same
    queries rejected once their class is left out; NaN with one class.
    """

    threshold: float
    accepted: float
    detected: float


@dataclass(frozen=True)
class OpenSet:
    """How well unknown queries are told from known ones on test.

    left_out: whether the unknown ones are the known ones without their class (no query's class was missing).
    threshold: the similarity to the nearest item. auroc: chance that a known query's nearest item is more similar than
    an unknown one's, a tie counted half.
    detected: unknown queries rejected; refused: known queries rejected; both at the threshold, over unknown and known.
    """

    left_out: bool
    threshold: float
    auroc: float
    detected: int
    unknown: int
    refused: int
    known: int


@dataclass(frozen=True)
class Point:
    """A threshold with its rates (fmr, fnmr) on the pairs it was fitted on; target: the FMR that was asked for."""

    target: float
    threshold: float
    fmr: float
    fnmr: float


@dataclass(frozen=True)
class Fitted:
    """What validation pairs say.

    images: how many; same, different: pairs of one label and of two. eer: the equal error rate, and eer_threshold
    where it is. points: one for each target whose false matches would be 30 or more. roc: (threshold, FMR, FNMR),
    FMR falling. rejection: the threshold for a query's nearest item, None where no class has two images.
    """

    images: int
    same: int
    different: int
    eer: float
    eer_threshold: float
    points: tuple[Point, ...]
    roc: tuple[tuple[float, float, float], ...]
    rejection: Rejection | None


@dataclass(frozen=True)
class Measured:
    """What a fitted threshold does on test: exact counts over all pairs of the queries used and the gallery.

    target, threshold: as in ``Point``, target None for the equal error threshold; false_matches: of the different
    pairs; false_non_matches: of the same ones; fmr, fnmr: the counts as rates, NaN where there are no such pairs.
    """

    target: float | None
    threshold: float
    false_matches: int
    different: int
    false_non_matches: int
    same: int
    fmr: float = field(init=False)
    fnmr: float = field(init=False)

    def __post_init__(self) -> None:
        rates = {"fmr": (self.false_matches, self.different), "fnmr": (self.false_non_matches, self.same)}
        for name, (wrong, pairs) in rates.items():
            object.__setattr__(self, name, wrong / pairs if pairs else math.nan)


@dataclass(frozen=True)
class OnTest:
    """What the fitted thresholds do on test.

    queries: how many were used; points: as in ``Fitted``, then the equal error threshold's (target None); open_set:
    None where validation has no threshold for it.
    """

    queries: int
    points: tuple[Measured, ...]
    open_set: OpenSet | None


@dataclass(frozen=True)
class Thresholds:
    """From which similarity on two images are the same: fitted on validation pairs, measured on test."""

    validation: Fitted
    test: OnTest
