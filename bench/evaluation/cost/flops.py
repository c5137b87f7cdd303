"""Floating-point operations of one image's embedding, counted while it is computed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from bench.contract import ImageShape, Method, network_of


def embedding_flops(method: Method, shape: ImageShape, device: torch.device) -> int | None:
    """Return the FLOPs of one image's embedding by a fitted method, or None where it has no network of its own.

    shape: of the data set's images; device: the method's. See ``network_flops``.
    """
    network = network_of(method)
    return None if network is None else network_flops(network, shape, device)


def network_flops(network: nn.Module, shape: ImageShape, device: torch.device) -> int:
    """Return the FLOPs of a network in eval mode on one image, 2 x multiply-accumulates.

    Matrix products, convolutions and attention's products are counted, as torch's ``FlopCounterMode`` does; additions,
    activations, normalisations, pooling and resizing are not. A second view of the image (its mirror image) counts.
    """
    pixels = torch.full((1, shape.channels, shape.height, shape.width), 0.5, device=device)
    with torch.no_grad(), _products_in_sight(), FlopCounterMode(display=False) as counter:
        network(pixels)
    return int(counter.get_total_flops())


@contextmanager
def _products_in_sight() -> Iterator[None]:
    """Compute attention by single operations: fused on a CPU, its products are hidden from torch's counter."""
    before = torch.backends.mha.get_fastpath_enabled()
    try:
        torch.backends.mha.set_fastpath_enabled(False)
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
