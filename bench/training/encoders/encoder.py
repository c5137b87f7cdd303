"""What every encoder is: images to raw vectors, and which of its weights it brought along."""

from __future__ import annotations

from torch import nn


class Encoder(nn.Module):
    """Float ``(n, channels, height, width)`` to float ``(n, dim)``, of any scale.

    standardises: whether it expects raw pixels in [0, 1] and standardises them itself; otherwise it is given pixels
    standardised by the training images' mean and spread. hold: keep (or stop keeping) pretrained weights still, with
    no gradient computed for them; nothing to do where there are none.
    """

    standardises = False

    def pretrained(self) -> list[nn.Parameter]:
        """Return the parameters that were trained elsewhere; none by default."""
        return []

    def hold(self, still: bool) -> None:
        """Keep pretrained weights still, or let them move."""
