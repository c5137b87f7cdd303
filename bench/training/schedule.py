"""The learning rate over a phase's steps."""

from __future__ import annotations

import math
from typing import Literal

Schedule = Literal["one_cycle", "cosine", "plateau"]


def rate_factor(schedule: Schedule, share: float, warm_share: float) -> float:
    """Return the learning rate's factor in [0, 1] at a share of the phase.

    one_cycle: see there; cosine: a straight rise over ``warm_share``, then a cosine down to 0 (Loshchilov & Hutter
    2017); plateau: the same rise, then level: what lowers it is ``plateau_factor``, from validation.
    """
    if schedule == "one_cycle":
        return one_cycle(share, warm_share)
    if share < warm_share:
        return max(share, 1e-3 * warm_share) / warm_share
    return 1.0 if schedule == "plateau" else _fall(share, warm_share)


def one_cycle(share: float, warm_share: float) -> float:
    """Return the learning rate's factor in [0, 1] at a share of the phase: cosine up, then cosine down to 0.

    Smith & Topin 2019; it starts at 1/25 of the peak, as torch's OneCycleLR does.
    """
    if share < warm_share:
        return 1 / 25 + (1 - 1 / 25) * 0.5 * (1 - math.cos(math.pi * share / warm_share))
    return _fall(share, warm_share)


def plateau_factor(epochs_without_better: int, *, patience: int = 2, factor: float = 0.5) -> float:
    """Return what the rate is multiplied by after an epoch: ``factor`` once ``patience`` more brought nothing better.

    The seeds' ReduceLROnPlateau (patience 2, factor 0.5), as a pure function of the epochs since the best one.
    """
    due = epochs_without_better > 0 and epochs_without_better % (patience + 1) == 0
    return factor if due else 1.0


def _fall(share: float, warm_share: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * (share - warm_share) / (1 - warm_share)))
