"""Feature extraction against the bare network, and inference engines against plain torch, side by side in one run.

    python tests/speed/features.py [--folder PICTURES] [--images 1000] [--rounds 5] [--threads 1]

PICTURES holds JPEG files, at any depth; without it, smooth ones are made up. The network is EfficientNet-Lite0 with its
ImageNet weights at 224 pixels. Asked for are 0.95 x the bare network's images/s with decoding included, and 2.5 x plain
torch's on an engine.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from side_by_side import paired
from tabulate import tabulate

from bench.contract import DataPlace, EngineFacts, Images, ImageShape
from bench.data.decoding.decode import DecodeRecipe, decode_files
from bench.evaluation.cost.timing import fixed_threads
from bench.evaluation.inference.embed import embed_images, to_floats
from bench.evaluation.inference.engines import on_engine
from bench.runs.provenance import cpu_name
from bench.training.encoders.timm import LITE0, Backbone

sys.path.append(str(Path(__file__).resolve().parents[1] / "support"))
from networked import Networked

CPU = torch.device("cpu")
SIDE = 224
BATCH = 64


def lite0() -> Networked:
    return Networked(Backbone(LITE0, ImageShape(SIDE, SIDE, 3)).eval())


def extraction(paths: list[Path], engine: str, threads: int, rounds: int) -> list[str]:
    """Decode files, resize and embed them with nothing in any cache, against the bare forward of a resident batch.

    The limit is the same network on the same engine: what remains are decoding, floats, copies and the checks.
    """
    method, facts = on_engine(lite0(), engine, decoded(paths[:BATCH]), device=torch.device("cpu"), threads=threads)
    resident = to_floats(decoded(paths[:BATCH]).take(slice(None)), CPU)

    def from_files() -> None:
        embed_images(method, decoded(paths), device=CPU, batch_size=BATCH)

    def bare() -> None:
        with torch.inference_mode():
            for start in range(0, len(paths), BATCH):
                method.embed(resident[: len(paths) - start])

    ours, limit, ratio = paired(from_files, bare, rounds)
    what = f"JPEG files to vectors, Lite0 at {SIDE} px, {described(facts)}, {threads} threads"
    return [
        what,
        f"{len(paths) / ours:,.0f} images/s",
        f"resident batch {len(paths) / limit:,.0f} images/s",
        f"{1 / ratio:.2f} x its images/s",
    ]


def engine(images: Images, name: str, batch: int, threads: int, rounds: int) -> list[str]:
    """Embed a batch on an engine against torch in float32 as one would write it: ``model(x)``, contiguous memory."""
    plain = deepcopy(lite0().module).to(memory_format=torch.contiguous_format)
    compiled, facts = on_engine(lite0(), name, images, device=torch.device("cpu"), threads=threads)
    pixels = to_floats(images.take(slice(0, batch)), CPU)
    contiguous = pixels.contiguous()
    calls = max(1, 16 // batch)  # one image takes a few milliseconds: too little to time alone on a busy machine

    def ours() -> None:
        for _ in range(calls):
            compiled.embed(pixels)

    def theirs() -> None:
        with torch.inference_mode():
            for _ in range(calls):
                plain(contiguous)

    fast, slow, ratio = paired(ours, theirs, rounds)
    rate = calls * batch
    what = f"embedding, Lite0 at {SIDE} px, batch {batch}, {described(facts)}, {threads} threads"
    return [
        what,
        f"{rate / fast:,.0f} images/s",
        f"plain torch {rate / slow:,.0f} images/s",
        f"{1 / ratio:.2f} x its images/s",
    ]


def described(facts: EngineFacts) -> str:
    """Return an engine in words: its number format, and how far from torch's its vectors are at most."""
    if facts.name == "torch":
        return "torch float32"
    return f"{facts.name} {facts.precision} (lowest cosine {facts.lowest_cosine})"


def decoded(paths: list[Path], decoder: Literal["pillow", "torchcodec"] = "pillow", on: str = "cpu") -> Images:
    """Return files as images of one size, decoded anew: the cache is a folder that lives no longer than its map."""
    with tempfile.TemporaryDirectory() as cache:
        place = DataPlace(None, Path(cache), decoder=decoder, decodes_on=on)
        found = decode_files(list(paths), place, DecodeRecipe((SIDE, SIDE)))
        return Images(found.pixels, found.kept)


@contextmanager
def pictures(folder: Path | None, count: int) -> Iterator[list[Path]]:
    """Give JPEG files: those of a folder, again and again if they are few, or smooth ones of a photograph's size."""
    if folder is not None:
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
        yield files[:: max(1, len(files) // count)][:count]
        return
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as made:
        for number in range(count):
            coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
            coarse.resize((500, 375), Image.Resampling.BICUBIC).save(Path(made) / f"{number}.jpg", quality=90)
        yield sorted(Path(made).iterdir())


def rows(folder: Path | None = None, images: int = 1_000, rounds: int = 5, threads: int = 1) -> list[list[str]]:
    """Return every row of the table."""
    with pictures(folder, images) as paths, fixed_threads(threads):
        some = decoded(paths[:BATCH])
        return [
            *(extraction(paths, name, threads, rounds) for name in ("torch", "openvino")),
            *(engine(some, name, batch, threads, rounds) for name in ("openvino", "onnx") for batch in (1, BATCH)),
        ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--images", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    table = rows(asked.folder, asked.images, asked.rounds, asked.threads)
    heads = ["what", "simbench", "beside it", "ratio"]
    text = tabulate(table, heads, tablefmt="pipe", disable_numparse=True)
    sys.stdout.write(f"{text}\n\n{cpu_name()}, torch {torch.__version__}.\n")


if __name__ == "__main__":
    main()
