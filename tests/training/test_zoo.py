"""The table of pretrained models: what it says of each is what timm says, and what a vector is is what it says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from bench.contract import ImageShape, UsageError
from bench.options import build, values_of
from bench.plugins import DATASET
from bench.registry import get_method, list_plugins
from bench.training.encoders.timm import Backbone
from bench.training.encoders.zoo import OVERLAPS, Pretrained, full_encoder, pooling, seen_before, timm_name, zoo

Features = Callable[[str], tuple[Tensor, Tensor, nn.Module]]
MODELS = pytest.mark.parametrize("one", zoo(), ids=lambda one: one.alias)


def test_aliases_are_distinct_and_hide_no_name_of_timms() -> None:
    aliases = [one.alias for one in zoo()]
    assert len(set(aliases)) == len(aliases) == 21
    assert not set(aliases) & set(timm.list_models())


@MODELS
def test_name_licence_and_input_size_are_timms(one: Pretrained) -> None:
    config = timm.get_pretrained_cfg(one.model)
    assert config is not None
    assert f"{config.architecture}.{config.tag}" in timm.list_models(pretrained=True)
    assert (config.license, config.input_size) == (one.licence, (3, one.size, one.size))


@MODELS
def test_length_and_pooling_are_those_of_the_network_that_is_built(one: Pretrained) -> None:
    with torch.device("meta"):  # no memory, no arithmetic
        model = timm.create_model(one.model, pretrained=False, num_classes=0, **pooling(one.model))
        vectors = model.eval()(torch.zeros(1, 3, one.size, one.size))
    assert vectors.shape == (1, one.length)
    assert _pooling(model) == one.pooling


def _pooling(model: Any) -> str:
    if getattr(model, "attn_pool", None) is not None:
        return "attention"
    pool: Any = getattr(model, "global_pool", None)
    pool = getattr(getattr(model, "head", None), "global_pool", pool)
    return {"token": "class token", "avg": "mean"}[pool if isinstance(pool, str) else str(pool.pool_type)]


@pytest.fixture
def features(monkeypatch: pytest.MonkeyPatch) -> Features:
    """Give a random network's vectors, its last layer's tokens ``(n, tokens, width)``, and the network."""
    whole = timm.create_model

    def thin(name: str, **options: Any) -> nn.Module:
        return whole(name, depth=1, embed_dim=48, num_heads=3, **options)

    @torch.no_grad()
    def of(alias: str) -> tuple[Tensor, Tensor, nn.Module]:
        torch.manual_seed(0)
        backbone = Backbone(timm_name(alias), ImageShape(56, 56, 3), weights="none", size=224).eval()
        model: Any = backbone.model
        pixels = torch.rand(2, 3, 56, 56)
        return backbone(pixels), model.forward_features(backbone.prepare(pixels)), model

    monkeypatch.setattr(timm, "create_model", thin)
    return of


@pytest.mark.parametrize("alias", ["dinov2-small", "dinov2-small-reg", "dinov3-small", "clip-b32"])
def test_the_vector_of_dino_and_clip_is_the_class_token(alias: str, features: Features) -> None:
    vectors, tokens, model = features(alias)
    assert torch.equal(vectors, tokens[:, 0])
    assert not torch.allclose(vectors, tokens[:, 1:].mean(dim=1))
    assert isinstance(model.get_submodule("head"), nn.Identity)


@torch.no_grad()
@pytest.mark.parametrize("alias", ["siglip2-base", "pe-core-base"])
def test_an_attention_heads_vector_has_no_projection_behind_it(alias: str, features: Features) -> None:
    vectors, tokens, model = features(alias)
    pooled: Tensor = model.get_submodule("attn_pool")(tokens)
    assert torch.allclose(vectors, pooled, atol=1e-6)
    assert isinstance(model.get_submodule("head"), nn.Identity)


def test_an_alias_becomes_timms_name_in_a_runs_options() -> None:
    full = "vit_small_patch14_dinov2.lvd142m"
    for method, option, before in (("pretrained", "model", ""), ("lda", "model", ""), ("triplet", "encoder", "timm/")):
        by_alias = build(get_method(method), {option: f"{before}dinov2-small"}, owner=method)
        by_name = build(get_method(method), {option: f"{before}{full}"}, owner=method)
        assert values_of(by_alias) == values_of(by_name)
        assert values_of(by_alias)[option] == f"{before}{full}"


def test_names_that_are_no_alias_stay() -> None:
    assert timm_name("resnet50") == "resnet50"
    assert full_encoder("resnet") == "resnet"
    assert full_encoder("timm/resnet18") == "timm/resnet18"


def test_an_unknown_model_is_told_the_nearest_alias() -> None:
    with pytest.raises(UsageError, match=r"no model 'dinov2-smal'; did you mean 'dinov2-small'\?"):
        build(get_method("pretrained"), {"model": "dinov2-smal"}, owner="pretrained")


DINO, LITE = "vit_small_patch14_dinov2.lvd142m", "tf_efficientnet_lite0"


@pytest.mark.parametrize(
    ("options", "dataset", "words"),
    [
        ({"model": DINO}, "food101", ["chosen by their likeness"]),
        ({"model": DINO}, "cub200-dml", ["chosen by their likeness", "shares pictures"]),
        ({"encoder": f"timm/{DINO}"}, "cars196-official", ["chosen by their likeness"]),
        ({"encoder": "timm/vit_small_patch14_dinov2"}, "oxford-pets", ["chosen by their likeness"]),
        ({"model": f"{LITE}.in1k"}, "cub200-mieb", ["shares pictures"]),
        ({"model": LITE}, "stl10", ["was drawn"]),
        ({"model": LITE}, "food101", []),
        ({"model": DINO}, "sop-dml", []),
        ({"model": DINO}, "cub2000", []),
        ({"model": DINO, "weights": "none"}, "food101", []),
        ({"model": DINO, "weights": "own.safetensors"}, "food101", []),
        ({"encoder": "resnet"}, "cub200-dml", []),
        ({"model": 3}, "cub200-dml", []),
    ],
)
def test_a_note_says_what_the_encoders_training_has_of_the_data(
    options: dict[str, object], dataset: str, words: list[str]
) -> None:
    found = seen_before({"weights": "pretrained", **options}, dataset)
    assert len(found) == len(words)
    for note, part in zip(found, words, strict=True):
        assert note.startswith("in the encoder's training data: ")
        assert part in note


def test_overlaps_name_our_data_sets_and_collections_that_models_learnt_from() -> None:
    ours = {plugin.name.replace("_", "-") for plugin in list_plugins(DATASET)}
    learnt = {one.learnt_from for one in zoo()}
    for one in OVERLAPS:
        assert set(one.datasets) <= ours
        assert set(one.learnt_from) <= learnt
