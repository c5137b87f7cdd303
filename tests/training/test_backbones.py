"""Pretrained backbones: the right network, the right pixels, the right weights, and a clear no without them."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from timm.data import create_transform
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms import InterpolationMode, v2

from bench.contract import ImageShape, SimbenchError, UsageError
from bench.training.backbones import Backbone
from bench.training.lite0 import LITE0, lite0_file
from bench.training.resizing import fit_to_input

PHOTO, TINY = ImageShape(224, 224, 3), ImageShape(28, 28, 1)
SMALL = "test_resnet"  # timm's own for tests: half a million numbers


# ------------------------------------------------------------------------------------------ the network


def conv_same(x: Tensor, weight: Tensor, stride: int, groups: int = 1) -> Tensor:
    """TensorFlow's "SAME": as many outputs as inputs / stride, the odd pixel of padding right and below."""
    kernel, size = weight.shape[2], x.shape[2]
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    half = total // 2
    return F.conv2d(F.pad(x, (half, total - half, half, total - half)), weight, stride=stride, groups=groups)


def original_lite0(x: Tensor) -> Tensor:
    """EfficientNet-Lite0 (square images) from the file's own tensors, written down from the paper: features (n, 1280)."""
    t: dict[str, Tensor] = torch.load(lite0_file(), weights_only=True)

    def norm(x: Tensor, name: str) -> Tensor:
        mean, var, weight, bias = (t[f"{name}.{p}"] for p in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, mean, var, weight, bias, eps=1e-3)

    x = F.relu6(norm(conv_same(x, t["_conv_stem.weight"], 2), "_bn0"))
    for number in range(16):
        block, before = f"_blocks.{number}", x
        if number > 0:
            x = F.relu6(norm(conv_same(x, t[f"{block}._expand_conv.weight"], 1), f"{block}._bn0"))
        stride = 2 if number in (1, 3, 5, 11) else 1  # where stages 2, 3, 4 and 6 begin
        depthwise = t[f"{block}._depthwise_conv.weight"]
        x = F.relu6(norm(conv_same(x, depthwise, stride, groups=len(depthwise)), f"{block}._bn1"))
        x = norm(conv_same(x, t[f"{block}._project_conv.weight"], 1), f"{block}._bn2")
        if x.shape == before.shape:
            x = x + before
    return F.relu6(norm(conv_same(x, t["_conv_head.weight"], 1), "_bn1")).mean(dim=(2, 3))


@pytest.mark.parametrize("size", [96, 161, 224])
def test_lite0_gives_the_features_of_the_original_network(size: int) -> None:
    backbone = Backbone(LITE0, PHOTO, size=size).eval()
    pixels = torch.rand(2, 3, size, size)
    with torch.no_grad():
        ours, original = backbone(pixels), original_lite0((pixels - 0.5) / 0.5)
    assert ours.shape == (2, backbone.features) == (2, 1280)
    assert float(original.abs().mean()) > 0.1
    assert torch.allclose(ours, original, atol=1e-4)


@pytest.mark.parametrize("name", [SMALL, "test_vit", "test_convnext", "test_efficientnet"])
def test_convolutions_and_transformers_give_vectors_of_their_length_for_any_image(name: str) -> None:
    for shape in (ImageShape(8, 8, 1), ImageShape(13, 20, 3), ImageShape(200, 170, 3)):
        backbone = Backbone(name, shape, weights="none").eval()
        vectors = backbone(torch.rand(2, shape.channels, shape.height, shape.width))
        assert vectors.shape == (2, backbone.features)
        assert bool(vectors.isfinite().all())


def test_gradients_reach_the_first_layer_and_the_pixels_and_parameters_can_be_frozen() -> None:
    backbone = Backbone(SMALL, TINY, weights="none").train()
    assert backbone.model.training
    pixels = torch.rand(4, 1, 28, 28, requires_grad=True)
    backbone(pixels).square().sum().backward()
    first = next(backbone.parameters())
    assert first.grad is not None
    assert float(first.grad.abs().sum()) > 0
    assert pixels.grad is not None
    assert float(pixels.grad.abs().sum()) > 0
    backbone.requires_grad_(False)
    assert not backbone(torch.rand(4, 1, 28, 28)).requires_grad


def test_random_weights_depend_on_the_seed_alone() -> None:
    first, again, other = (_seeded(seed).state_dict()["model.conv1.0.weight"] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def _seeded(seed: int) -> Backbone:
    torch.manual_seed(seed)
    return Backbone(SMALL, TINY, weights="none")


# ------------------------------------------------------------------------------------------ the pixels


def test_a_grey_image_is_shown_as_a_colour_image_of_three_equal_channels() -> None:
    grey = torch.rand(2, 1, 28, 28)
    ours = Backbone(LITE0, TINY).prepare(grey)
    colour = Backbone(LITE0, ImageShape(28, 28, 3)).prepare(grey.expand(-1, 3, -1, -1))
    assert torch.equal(ours, colour)


@pytest.mark.parametrize("shape", [(300, 300), (280, 413), (500, 333), (1000, 241)])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_larger_images_are_resized_and_cropped_as_torchvision_does(shape: tuple[int, int], mode: str) -> None:
    pixels = torch.rand(1, 3, *shape)
    theirs = v2.Compose([v2.Resize(256, interpolation=InterpolationMode(mode), antialias=True), v2.CenterCrop(224)])(
        pixels
    ).clamp(0, 1)
    ours = fit_to_input(pixels, (224, 224), mode=mode, crop=0.875)
    assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("name", ["resnet50", "vgg16", "convnext_tiny.in12k_ft_in1k_384"])
def test_larger_photographs_are_shown_as_timms_own_evaluation_shows_them(name: str) -> None:
    config = timm.get_pretrained_cfg(name)
    assert config is not None
    rough = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    photo = Image.fromarray(rough).resize((640, 481), Image.Resampling.BICUBIC)
    timms = create_transform(
        input_size=config.input_size,
        interpolation=config.interpolation,
        mean=(0, 0, 0),
        std=(1, 1, 1),
        crop_pct=config.crop_pct,
        crop_mode=config.crop_mode,
    )(photo)
    ours = fit_to_input(
        torch.from_numpy(np.array(photo)).permute(2, 0, 1)[None] / 255,
        config.input_size[1:],
        mode=config.interpolation,
        crop=config.crop_pct,
        squash=config.crop_mode == "squash",
    )[0]
    assert ours.shape == timms.shape
    assert float((ours - timms).abs().max()) < 2 / 255  # Pillow rounds to bytes, once a direction


def test_an_image_of_the_right_size_is_not_resampled_and_a_longer_one_only_cut() -> None:
    right, longer = torch.rand(2, 3, 224, 224), torch.rand(2, 3, 224, 300)
    assert fit_to_input(right, (224, 224), mode="bicubic", crop=0.875) is right
    cut = fit_to_input(longer, (224, 224), mode="bicubic", crop=0.875)
    assert torch.equal(cut, longer[:, :, :, 38:262])


def test_small_images_are_enlarged_whole_and_bicubic_overshoot_is_cut_off() -> None:
    pixels = (torch.rand(2, 1, 28, 28) > 0.5).float()
    fitted = fit_to_input(pixels, (96, 96), mode="bicubic", crop=0.875)
    assert 0 <= float(fitted.min()) <= float(fitted.max()) <= 1
    back = F.interpolate(fitted, (28, 28), mode="bilinear", antialias=True)
    assert float((back - pixels).abs().mean()) < 0.2  # the border is still there


@pytest.mark.parametrize(
    ("name", "shape", "size", "expected"),
    [
        (LITE0, TINY, None, 96),
        (LITE0, ImageShape(64, 64, 3), None, 96),
        (LITE0, ImageShape(65, 64, 3), None, 224),
        (LITE0, TINY, 128, 128),
        ("test_vit", TINY, None, 160),  # has a position embedding for each place
        ("test_vit", TINY, 96, 96),
    ],
)
def test_small_images_go_to_96_pixels_where_a_model_takes_any_size(
    name: str, shape: ImageShape, size: int | None, expected: int
) -> None:
    assert Backbone(name, shape, weights="none", size=size).input_size == (expected, expected)


def test_pixels_are_standardised_by_the_models_own_mean_and_spread() -> None:
    backbone = Backbone("vit_tiny_patch16_224", PHOTO, weights="none")
    white = backbone.prepare(torch.ones(1, 3, 224, 224))
    config = timm.get_pretrained_cfg("vit_tiny_patch16_224")
    assert config is not None
    for channel, (mean, std) in enumerate(zip(config.mean, config.std, strict=True)):
        assert float(white[0, channel].mean()) == pytest.approx((1 - mean) / std, rel=1e-5)


# ------------------------------------------------------------------------------------------ the names


def test_an_unknown_model_is_told_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="timm has no model 'resnet5O'; did you mean 'resnet50'"):
        Backbone("resnet5O", PHOTO)
    with pytest.raises(UsageError, match=r"no weights 'resnet50\.a1_in1kk'; did you mean 'resnet50\.a1_in1k'"):
        Backbone("resnet50.a1_in1kk", PHOTO)


def test_a_size_that_the_model_cannot_take_is_a_users_error() -> None:
    with pytest.raises(UsageError, match="test_vit does not take images of 7x7 pixels"):
        Backbone("test_vit", PHOTO, weights="none", size=7)


# ------------------------------------------------------------------------------------------ the weights


@pytest.mark.parametrize("kind", ["safetensors", "pth"])
def test_weights_come_back_from_a_file_with_or_without_a_classifier(tmp_path: Path, kind: str) -> None:
    for classes in (0, 7):
        torch.manual_seed(1)
        model = timm.create_model(SMALL, num_classes=classes)
        path = tmp_path / f"{classes}.{kind}"
        _save(model.state_dict(), path)
        ours = Backbone(SMALL, PHOTO, weights=str(path)).model.state_dict()
        assert all(torch.equal(ours[name], model.state_dict()[name]) for name in ours)


def test_a_transformers_weights_fit_another_size_by_resizing_its_position_embedding(tmp_path: Path) -> None:
    model = timm.create_model("test_vit")
    _save(model.state_dict(), tmp_path / "vit.safetensors")
    ours = Backbone("test_vit", PHOTO, weights=str(tmp_path / "vit.safetensors"), size=96)
    assert ours.model.get_parameter("pos_embed").shape[1] < model.get_parameter("pos_embed").shape[1]
    assert torch.equal(ours.model.get_parameter("cls_token"), model.get_parameter("cls_token"))


def test_a_file_that_does_not_fit_is_refused_with_the_names_of_what_does_not(tmp_path: Path) -> None:
    state = timm.create_model(SMALL, num_classes=0).state_dict()
    state["surplus"] = state.pop("bn1.bias")
    state["bn1.weight"] = torch.ones(3)
    _save(state, tmp_path / "odd.safetensors")
    with pytest.raises(SimbenchError) as caught:
        Backbone(SMALL, PHOTO, weights=str(tmp_path / "odd.safetensors"))
    said = str(caught.value)
    assert "bn1.weight of another shape; bn1.bias missing; surplus not the model's" in said
    assert SMALL in said
    assert "\n" not in said


def test_files_that_are_missing_damaged_or_run_code_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="weights must be pretrained, none, or a file"):
        Backbone(SMALL, PHOTO, weights="pretraind")
    (tmp_path / "damaged.safetensors").write_bytes(b"nothing of the kind")
    torch.save({"weights": Path("a pickled object")}, tmp_path / "code.pth")
    for name in ("damaged.safetensors", "code.pth"):
        with pytest.raises(SimbenchError, match="cannot read the weights in"):
            Backbone(SMALL, PHOTO, weights=str(tmp_path / name))


@pytest.fixture
def _offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, no proxy, and an empty cache of Hugging Face's."""

    def unreachable(*args: object, **options: object) -> None:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(socket, "create_connection", unreachable)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_ENDPOINT", "https_proxy", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("_offline")
@pytest.mark.parametrize("name", ["resnet50", "vit_large_patch14_dinov2.lvd142m"])
def test_without_a_network_the_hub_fails_within_a_second_with_one_line_that_says_what_to_do(name: str) -> None:
    timm.list_models()
    start = time.perf_counter()
    with pytest.raises(SimbenchError) as caught:
        Backbone(name, PHOTO)
    assert time.perf_counter() - start < 1.0
    said = str(caught.value)
    assert "\n" not in said
    assert name in said
    for remedy in ("Network is unreachable", "model.safetensors", "-o weights=FILE.safetensors", "-o weights=none"):
        assert remedy in said


@pytest.mark.usefixtures("_offline")
def test_a_host_that_never_answers_is_given_up_within_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "create_connection", lambda *args, **options: time.sleep(5))
    start = time.perf_counter()
    with pytest.raises(SimbenchError, match=r"huggingface\.co does not answer"):
        Backbone(SMALL, PHOTO)
    assert time.perf_counter() - start < 1.5


@pytest.mark.usefixtures("_offline")
def test_weights_in_hugging_faces_cache_are_used_without_a_network(tmp_path: Path) -> None:
    model = timm.create_model(SMALL)
    home = tmp_path / "hub" / "models--timm--test_resnet.r160_in1k"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("0123")
    _save(model.state_dict(), home / "snapshots" / "0123" / "model.safetensors")
    ours = Backbone(SMALL, PHOTO).model.state_dict()
    assert all(torch.equal(ours[name], model.state_dict()[name]) for name in ours)


@pytest.mark.usefixtures("_offline")
def test_with_a_network_the_file_is_asked_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, asked = timm.create_model(SMALL), list[str]()
    _save(model.state_dict(), tmp_path / "downloaded.safetensors")

    def download(repository: str, file: str, revision: str | None) -> str:
        asked.append(f"{repository}/{file}")
        return str(tmp_path / "downloaded.safetensors")

    monkeypatch.setattr(socket, "create_connection", lambda *args, **options: socket.socket())
    monkeypatch.setattr(huggingface_hub, "file_exists", lambda *args, **options: True)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    ours = Backbone(SMALL, PHOTO).model.state_dict()
    assert asked == ["timm/test_resnet.r160_in1k/model.safetensors"]
    assert all(torch.equal(ours[name], model.state_dict()[name]) for name in ours)


def _save(state: dict[str, Tensor], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
    else:
        torch.save(state, path)
