"""A backbone's weights: from a file, from Hugging Face's cache or Hub, or a clear no."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import huggingface_hub
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

from bench.contract import ImageShape, SimbenchError, UsageError
from bench.training.encoders.timm import Backbone

PHOTO = ImageShape(224, 224, 3)
SMALL = "test_resnet"  # timm's own for tests: half a million numbers


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


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
def test_hub_without_network_fails_within_a_second_in_one_line(name: str) -> None:
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
    def silent(*args: object, **options: object) -> None:
        time.sleep(2)
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "create_connection", silent)
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
