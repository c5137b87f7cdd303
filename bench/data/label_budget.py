"""A label budget: so many labelled images a class to learn from, whatever they are used for; the test is untouched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bench.contract import Split
from bench.data.splits import at_most

if TYPE_CHECKING:
    from bench.contract import Labels

_SHARE = 10  # one in so many labelled images is held out for validation, as without a budget
_FEWEST = 2  # of a class: the map that chooses an epoch ranks each image among the others


def within_budget(train: Split, validation: Split | None, budget: int, seed: int) -> tuple[Split, Split, str]:
    """Cut what is learnt from to at most ``budget`` labelled images a class; return train, validation and a note.

    Validation uses labels too, so it is part of the budget: a tenth of a class's labelled images, from the data's own
    validation part where there is one. A class for which a tenth is less than two (fewer than 20 labelled images) gives
    none, and without any validation a method keeps its last epoch. The held-out images are the last to be labelled:
    what a smaller budget learns from, a larger one learns from as well. (But for 19: it learns from one more than 20,
    where holding out begins.)
    """
    counts = np.bincount(train.labels)
    if validation is None:
        labelled = np.minimum(counts, budget)
        held = _held_out(labelled)
        every, learnt = (at_most(train.labels, most, seed) for most in (labelled, labelled - held))
        checked = train.subset(np.setdiff1d(every, learnt))
    else:
        own = np.bincount(validation.labels, minlength=len(counts))
        most = np.minimum(np.pad(counts, (0, len(own) - len(counts))) + own, budget)
        held = np.minimum(_held_out(most), own)
        held[held < _FEWEST] = 0
        learnt = at_most(train.labels, (budget - held)[: len(counts)], seed)
        checked = validation.subset(at_most(validation.labels, held[: _classes(validation)], seed))
    used = "validation included" if len(checked) else "none held out for validation, so that the last epoch is kept"
    return train.subset(learnt), checked, f"at most {budget} labelled images a class, {used}, split seed {seed}"


def _held_out(labelled: Labels) -> Labels:
    """Return how many of each class's labelled images validate, int64 ``(classes,)``."""
    tenth = labelled // _SHARE
    return np.where(tenth >= _FEWEST, tenth, 0)


def _classes(part: Split) -> int:
    return int(part.labels.max(initial=-1)) + 1
