"""A folder of timm's as a method: timm's own vectors, with the standardising and the size that the folder names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models import save_for_hf
from torch.nn import functional as F

from bench.contract import (
    Budget,
    DataError,
    Images,
    ImageShape,
    RunContext,
    SimbenchError,
    Split,
    UsageError,
    no_progress,
)
from bench.runs.fitting import MemoryHistory
from bench.training.imported_backbone import ImportedBackbone, folder_files

CPU = torch.device("cpu")
SHOWN = {"input_size": (3, 48, 48), "mean": (0.1, 0.2, 0.3), "std": (0.5, 0.6, 0.7), "crop_pct": 1.0}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What timm writes of a model with a classifier that was shown pictures in a way of its own."""
    torch.manual_seed(0)
    model = timm.create_model("test_efficientnet", num_classes=7)
    save_for_hf(model, str(tmp_path / "theirs"), safe_serialization=True, model_config={"pretrained_cfg": SHOWN})
    return tmp_path / "theirs"


def fitted(folder: Path) -> ImportedBackbone:
    method = ImportedBackbone(**{option: str(path) for option, path in folder_files(folder).items()})
    images = Split(Images(np.zeros((2, 48, 48, 3), np.uint8)), np.zeros(2, np.int64), np.array(["a", "b"]))
    context: Any = {"checkpoints": None, "history": MemoryHistory(), "progress": no_progress, "log": lambda line: None}
    method.fit(images, images, RunContext(0, CPU, ("x",), mirror=False, budget=Budget(), **context))
    return method


def by_timm(folder: Path, pixels: torch.Tensor) -> torch.Tensor:
    model = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0).eval()
    mean, std = (torch.tensor(SHOWN[name]).view(1, 3, 1, 1) for name in ("mean", "std"))
    with torch.no_grad():
        found: torch.Tensor = model((pixels - mean) / std)
    return found


@torch.no_grad()
def test_its_vectors_are_those_that_timm_makes_of_the_folder(folder: Path) -> None:
    method, pixels = fitted(folder), torch.rand(3, 3, 48, 48)
    assert method.native_size == (48, 48)
    assert method.embed(pixels).numpy() == pytest.approx(by_timm(folder, pixels).numpy(), abs=1e-5)
    grey = pixels[:, :1]
    assert method.embed(grey).numpy() == pytest.approx(by_timm(folder, grey.expand(-1, 3, -1, -1)).numpy(), abs=1e-5)


@torch.no_grad()
def test_what_is_behind_the_backbone_is_applied_as_load_py_does(folder: Path) -> None:
    plain, pixels = fitted(folder), torch.rand(3, 3, 48, 48)
    features = plain.embed(pixels)
    mean, weight, bias = torch.rand(features.shape[1]), torch.rand(4, features.shape[1]), torch.rand(4)
    save_file({"mean": mean, "weight": weight, "bias": bias}, folder / "projection.safetensors")
    found = fitted(folder)
    expected = (F.normalize(features, dim=1) - mean) @ weight.T + bias
    assert found.embed(pixels).numpy() == pytest.approx(expected.numpy(), abs=1e-5)
    assert found.count_parameters() == plain.count_parameters() + mean.numel() + weight.numel() + bias.numel()


@torch.no_grad()
def test_a_run_keeps_all_of_it_and_needs_the_folder_no_more(folder: Path) -> None:
    save_file({"weight": torch.rand(4, 256)}, folder / "projection.safetensors")
    method, pixels = fitted(folder), torch.rand(2, 3, 48, 48)
    again = ImportedBackbone("gone", "gone", "gone")
    again.restore(method.state(), ImageShape(48, 48, 3), CPU)
    assert torch.equal(again.embed(pixels), method.embed(pixels))


def test_folders_that_are_none_of_timms_are_refused_in_one_line(folder: Path, tmp_path: Path) -> None:
    described = (folder / "config.json").read_text("utf-8")
    for content, said in (
        ("{", "timm cannot make a model"),
        ("{}", "timm cannot make a model"),
        ('{"architecture": "no_such_net", "pretrained_cfg": {}}', "timm cannot make a model"),
        (json.dumps({"architecture": "test_vit", "pretrained_cfg": SHOWN}), "does not fit"),
        (
            json.dumps({"architecture": "test_efficientnet", "pretrained_cfg": {**SHOWN, "input_size": [1, 48, 48]}}),
            "pictures of 1 channels",
        ),
    ):
        (folder / "config.json").write_text(content, "utf-8")
        with pytest.raises(SimbenchError, match=said) as raised:
            fitted(folder)
        assert "\n" not in str(raised.value)
    save_file({"axes": torch.rand(2, 2)}, folder / "projection.safetensors")
    (folder / "config.json").write_text(described, "utf-8")
    with pytest.raises(DataError, match="'axes' in it is none of mean, weight, bias"):
        fitted(folder)
    (folder / "model.safetensors").unlink()
    (folder / "model.onnx").write_bytes(b"")
    with pytest.raises(UsageError, match=r"there is no model\.safetensors in it; import its model\.onnx"):
        folder_files(folder)
    with pytest.raises(UsageError, match="needs -o config="):
        _ = ImportedBackbone().native_size
    with pytest.raises(DataError, match="cannot be read"):
        _ = ImportedBackbone(str(tmp_path / "gone.json"), "x").native_size
