"""Encoders and the decoder at any image size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from bench.contract import Images, ImageShape, Split, UsageError
from bench.training.decoder import Decoder
from bench.training.embedder import Embedder
from bench.training.encoders.encoder import build_encoder

shapes = st.builds(ImageShape, st.integers(1, 70), st.integers(1, 70), st.sampled_from([1, 3]))


@settings(max_examples=40, deadline=None)
@given(shapes, st.sampled_from(["airbench", "embeddingnet", "resnet", "simplecnn"]))
def test_any_image_becomes_a_vector_and_the_vector_an_image_of_the_same_shape(shape: ImageShape, name: str) -> None:
    embedder, decoder = Embedder(name, shape, 16).eval(), Decoder(shape, 16).eval()
    with torch.no_grad():
        vectors = embedder.embed(torch.rand(2, shape.channels, shape.height, shape.width))
        images = decoder(vectors)
    assert vectors.shape == (2, 16)
    assert torch.allclose(vectors.norm(dim=1), torch.ones(2), atol=1e-5)
    assert images.shape == (2, shape.channels, shape.height, shape.width)
    assert images.min() >= 0
    assert images.max() <= 1


def test_pixels_are_standardised_by_the_training_split() -> None:
    pixels = np.random.default_rng(0).integers(50, 200, (200, 6, 6, 3)).astype(np.uint8)
    train = Split(Images(pixels), np.zeros(200, np.int64), np.arange(200).astype(np.str_))
    embedder = Embedder("resnet", ImageShape(6, 6, 3), 8)
    embedder.measure(train)
    ours = (torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - embedder.mean) / embedder.spread
    assert torch.allclose(ours.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-3)
    assert torch.allclose(ours.std(dim=(0, 2, 3)), torch.ones(3), atol=1e-3)


def test_an_unknown_encoder_is_told_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="did you mean 'resnet'"):
        build_encoder("resnet18", ImageShape(8, 8, 1), 4)


def test_the_seeds_networks_have_the_seeds_layers() -> None:
    four = [m for m in build_encoder("simplecnn", ImageShape(224, 224, 3), 128).modules() if isinstance(m, nn.Conv2d)]
    assert [m.out_channels for m in four] == [32, 64, 128, 256]
    (linear,) = [
        m for m in build_encoder("embeddingnet", ImageShape(28, 28, 1), 128).modules() if isinstance(m, nn.Linear)
    ]
    assert (linear.in_features, linear.out_features) == (3136, 128)


def test_a_timm_backbone_stands_still_without_a_gradient_and_then_moves() -> None:
    encoder = build_encoder("timm/tf_efficientnet_lite0", ImageShape(32, 32, 3), 8).train()
    brought = encoder.pretrained()
    for still in (True, False):
        encoder.hold(still)
        encoder(torch.rand(4, 3, 32, 32)).sum().backward()
        assert all((parameter.grad is None) == still for parameter in brought)
    assert not any(m.training for m in encoder.modules() if isinstance(m, nn.BatchNorm2d))


def test_without_pretrained_weights_a_timm_backbone_is_new_and_learns_whole() -> None:
    encoder = build_encoder("timm/tf_efficientnet_lite0", ImageShape(32, 32, 3), 8, weights="none").train()
    assert encoder.pretrained() == []
    assert all(m.training for m in encoder.modules() if isinstance(m, nn.BatchNorm2d))


def test_the_decoder_can_learn_one_image_by_heart() -> None:
    torch.manual_seed(0)
    decoder, target = Decoder(ImageShape(9, 7, 3), 8, width=32), torch.rand(2, 3, 9, 7)
    vectors = F.normalize(torch.randn(2, 8), dim=1)
    optimizer = torch.optim.Adam(decoder.parameters(), 1e-2)
    for _ in range(150):
        loss = F.mse_loss(decoder(vectors), target)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert loss.item() < 0.01


def test_a_hidden_layer_stands_between_a_backbone_and_its_vector_and_nowhere_else() -> None:
    shape, plain = (
        ImageShape(32, 32, 3),
        build_encoder("timm/test_efficientnet", ImageShape(32, 32, 3), 8, weights="none"),
    )
    deep = build_encoder("timm/test_efficientnet", shape, 8, weights="none", hidden=20).eval()
    assert deep(torch.rand(2, 3, 32, 32)).shape == (2, 8)
    widths = [layer.out_features for layer in deep.modules() if isinstance(layer, nn.Linear)]
    assert widths == [20, *[layer.out_features for layer in plain.modules() if isinstance(layer, nn.Linear)]]
    with pytest.raises(UsageError, match="hidden=0"):
        build_encoder("resnet", shape, 8, hidden=20)
