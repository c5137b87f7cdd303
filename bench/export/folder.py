"""One folder with all of a finished run that others load; it is there only where it gives the run's own vectors."""

from __future__ import annotations

from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.contract import Dataset, Progress, to_jsonable
from bench.environment import require_package
from bench.evaluation.inference.compile import onnx_call
from bench.evaluation.inference.embed import to_floats
from bench.export.card import model_card
from bench.export.gallery_files import write_faiss, write_parquet
from bench.export.onnx_network import unit_network, write_onnx
from bench.export.parity import EXTRA, SECONDS, Parity, measure_parity
from bench.export.timm_folder import write_backbone
from bench.files import making_folder, write_bytes, write_json
from bench.runs.loaded_run import TrainedRun

_BICUBIC = 3  # Pillow's number
_CHECKED = 8  # pictures that the files for timm are checked on; their weights are those of model.onnx


def require_packages() -> None:
    """Raise UsageError where a package of the extra ``export`` is missing."""
    for package in ("onnx", "onnxscript", "onnxruntime", "pyarrow"):
        require_package(package, "simbench export", package, EXTRA)


def export_run(
    run: TrainedRun, data: Dataset, folder: Path, progress: Progress, *, threads: int, licence: str = ""
) -> Parity:
    """Write a run's folder and return how well model.onnx agrees with the run.

    data: the run's own; licence: of the data, as upstream states it. Raises UsageError for a method without a network,
    SimbenchError where the folder is there already, or its model does not give the run's vectors: nothing is left.
    """
    network, result = unit_network(run), run.record.result
    with making_folder(folder) as partial:
        write_onnx(network, run.shape, partial / "model.onnx")
        parity = measure_parity(run.record, data, onnx_call(str(partial / "model.onnx"), threads), progress)
        parity.require("model.onnx")
        facts = {**asdict(parity), "map_difference": parity.map_difference, "seconds_allowed": SECONDS}
        write_json(partial / "parity.json", facts)
        write_bytes(partial / "load.py", resources.files("bench.export").joinpath("load.py.txt").read_bytes())
        rows = np.linspace(0, len(data.query) - 1, min(_CHECKED, len(data.query))).astype(np.int64)
        samples = to_floats(data.query.images.take(rows), torch.device("cpu"))
        no_timm = write_backbone(partial, run.method, network, samples)
        write_json(partial / "preprocessor_config.json", preprocessing(run))
        gallery = run.gallery()
        write_parquet(partial / "embeddings.parquet", gallery)
        write_faiss(partial / "gallery.faiss", gallery)
        if result.thresholds is not None:
            write_json(partial / "thresholds.json", to_jsonable(result.thresholds))
        write_bytes(partial / "README.md", model_card(result, parity, licence, no_timm).encode())
    return parity


def preprocessing(run: TrainedRun) -> dict[str, Any]:
    """Return how a picture becomes the model's input: as Hugging Face's image processors say it, then exactly.

    Standardising is no part of it, as model.onnx does that itself.
    """
    shape, resize = run.shape, run.resize
    size = {"height": shape.height, "width": shape.width}
    cut = resize.mode == "crop" and shape.height == shape.width
    return {
        "image_processor_type": "CLIPImageProcessor" if cut else "ViTImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": shape.height} if cut else size,
        "resample": _BICUBIC,
        "do_center_crop": cut,
        "crop_size": size,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": False,
        "do_convert_rgb": shape.channels == 3,
        "simbench": {**size, "channels": shape.channels, "mode": resize.mode, "value_range": resize.value_range},
    }
