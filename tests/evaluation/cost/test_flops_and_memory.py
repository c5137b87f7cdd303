"""FLOPs are 2 x multiply-accumulates, by arithmetic and by published counts; memory is what embedding adds."""

from __future__ import annotations

import statistics
import sys

import numpy as np
import pytest
import torch
import torchvision
from networked import Networked
from torch import Tensor, nn

from bench.contract import DataError, Images, ImageShape, RunContext, Split
from bench.evaluation.cost.flops_and_memory import embedding_flops, network_digest, network_flops, peak_embed_bytes
from bench.training.embedder import Embedder

CPU = torch.device("cpu")


class Plain:
    def fit(self, train: Split, validation: Split, run: RunContext) -> None:
        return None

    def embed(self, pixels: Tensor) -> Tensor:
        return pixels.flatten(1)


class Tokens(nn.Module):
    """Rows of a grey image as tokens, through what comes after."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, pixels: Tensor) -> Tensor:
        vectors: Tensor = self.inner(pixels[:, 0]).flatten(1)
        return vectors


class Attention(nn.Module):
    def forward(self, tokens: Tensor) -> Tensor:
        return nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)


def hand_counted(module: nn.Module, pixels: Tensor) -> int:
    """Return 2 x MACs of every convolution and linear layer, from the shapes that pass through them."""
    total = 0

    def count(layer: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
        nonlocal total
        if isinstance(layer, nn.Conv2d):
            each = layer.in_channels // layer.groups * layer.kernel_size[0] * layer.kernel_size[1]
            total += 2 * out.numel() * each
        if isinstance(layer, nn.Linear):
            total += 2 * out.numel() * layer.in_features

    hooks = [layer.register_forward_hook(count) for layer in module.modules()]
    with torch.no_grad():
        module(pixels)
    for hook in hooks:
        hook.remove()
    return total


def test_convolution_and_linear_layer_by_arithmetic() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 8 * 8, 10))
    convolution, linear = 8 * 8 * 4 * 3 * 3 * 3, 4 * 8 * 8 * 10
    assert network_flops(network.eval(), ImageShape(8, 8, 3), CPU) == 2 * (convolution + linear)


def test_resnet18_has_the_published_count() -> None:
    published = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.meta["_ops"]  # in 10^9 multiply-accumulates
    found = network_flops(torchvision.models.resnet18().eval(), ImageShape(224, 224, 3), CPU)
    assert found / 2e9 == pytest.approx(published, abs=0.0005)


def test_our_encoder_layer_by_layer() -> None:
    embedder = Embedder("resnet", ImageShape(28, 28, 1), 32).eval()
    once = hand_counted(embedder.encoder, torch.zeros(1, 1, 28, 28))
    network = _Embedding(embedder)
    assert once > 0
    assert network_flops(network, ImageShape(28, 28, 1), CPU) == once


class _Embedding(nn.Module):
    def __init__(self, embedder: Embedder) -> None:
        super().__init__()
        self.embedder = embedder

    def forward(self, pixels: Tensor) -> Tensor:
        return self.embedder.embed(pixels)


def test_attention_that_a_cpu_computes_in_one_piece_is_counted() -> None:
    tokens, width = 6, 8
    found = network_flops(Tokens(Attention()), ImageShape(tokens, width, 1), CPU)
    assert found == 2 * (2 * tokens * tokens * width)


def test_a_transformer_layer_that_torch_would_fuse_is_counted() -> None:
    tokens, width, inner = 6, 8, 16
    layer = nn.TransformerEncoderLayer(width, 2, inner, batch_first=True).eval()
    projections, products, feed = 4 * tokens * width**2, 2 * tokens**2 * width, 2 * tokens * width * inner
    before = torch.backends.mha.get_fastpath_enabled()
    assert network_flops(Tokens(layer), ImageShape(tokens, width, 1), CPU) == 2 * (projections + products + feed)
    assert torch.backends.mha.get_fastpath_enabled() == before


def test_a_compiled_network_is_counted_as_if_it_were_not() -> None:
    inner = nn.Linear(64, 5)
    inner.compile(backend="eager")
    inner(torch.zeros(1, 64))
    assert network_flops(nn.Sequential(nn.Flatten(), inner).eval(), ImageShape(8, 8, 1), CPU) == 2 * 64 * 5


def test_a_method_without_a_network_has_no_count() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 5))
    assert embedding_flops(Networked(network), ImageShape(8, 8, 1), CPU) == 640
    assert embedding_flops(Plain(), ImageShape(8, 8, 1), CPU) is None


@pytest.mark.skipif(sys.platform != "linux", reason="no /proc")
def test_memory_held_while_embedding_is_seen_and_what_was_held_before_is_not() -> None:
    class Hungry(Plain):
        def __init__(self, megabytes: int) -> None:
            self.megabytes = megabytes
            self.weights = torch.ones(2**24)  # 64 MiB, held anyway

        def embed(self, pixels: Tensor) -> Tensor:
            activations = torch.ones(self.megabytes * 2**18)
            return pixels.flatten(1) + activations.sum()

    images = Images(np.zeros((5, 8, 8, 1), dtype=np.uint8))

    def measured(megabytes: int) -> float:  # the median of three: what any other thread takes meanwhile counts
        peaks = [peak_embed_bytes(Hungry(megabytes), images, device=CPU) or 0 for _ in range(3)]
        return statistics.median(peaks) / 2**20

    assert measured(1) < 20
    assert 35 < measured(40) < 60
    assert 90 < measured(100) < 120


def test_memory_of_nothing_is_refused() -> None:
    with pytest.raises(DataError, match="nothing to embed"):
        peak_embed_bytes(Plain(), Images(np.empty((0, 2, 2, 1), dtype=np.uint8)), device=CPU)


class _Networked:
    def __init__(self, network: nn.Module) -> None:
        self._network = network

    def fit(self, train: Split, validation: Split, run: RunContext) -> None: ...

    def embed(self, pixels: Tensor) -> Tensor:
        return pixels.flatten(1)

    def network(self) -> nn.Module:
        return self._network


def test_a_networks_digest_changes_with_what_is_computed_and_not_with_what_was_learnt() -> None:
    def digest(width: int, *more: nn.Module, size: int = 8) -> str | None:
        network = nn.Sequential(nn.Flatten(), nn.Linear(size * size, width), *more).eval()
        return network_digest(_Networked(network), ImageShape(size, size, 1), CPU)

    assert digest(4) == digest(4)  # of other random weights
    assert len({digest(4), digest(5), digest(4, nn.ReLU()), digest(4, nn.GELU()), digest(4, size=9)}) == 5
