"""How the learning rate moves through a phase."""

from __future__ import annotations

import math


def one_cycle(share: float, warm_share: float) -> float:
    """Return the learning rate's factor in [0, 1] at a share of the phase: cosine up, then cosine down to 0.

    Smith & Topin 2019; it starts at 1/25 of the peak, as torch's OneCycleLR does.
    """
    if share < warm_share:
        return 1 / 25 + (1 - 1 / 25) * 0.5 * (1 - math.cos(math.pi * share / warm_share))
    return 0.5 * (1 + math.cos(math.pi * (share - warm_share) / (1 - warm_share)))
