"""How long decoding into the cache takes, against a bare loop of two processes; the second start; peak memory.

    python tests/speed/decode.py FOLDER [--images 60000] [--rounds 3]

FOLDER holds image files, at any depth. Rounds alternate between the two, and the fastest of each counts.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WORKERS = 2


def bare(paths: list[str]) -> int:
    """Decode files and throw them away: the least that any program with Pillow has to do."""
    import numpy as np
    from PIL import Image

    total = 0
    for path in paths:
        with Image.open(path) as image:
            total += np.asarray(image.convert("RGB")).shape[0]
    return total


def bare_seconds(paths: list[str]) -> float:
    start = time.perf_counter()
    with multiprocessing.get_context("fork").Pool(WORKERS) as pool:
        pool.map(bare, [paths[start : start + 512] for start in range(0, len(paths), 512)], chunksize=1)
    return time.perf_counter() - start


def start_once(folder: Path, images: int, cache: Path) -> dict[str, float]:
    """List and decode, or find decoded, in this process, whose peak memory is so that of nothing else."""
    begun = time.perf_counter()
    from bench.contract import DataPlace
    from bench.data.decoding.decode import DecodeRecipe, decode_files
    from bench.data.layouts.folder import walk

    ready = time.perf_counter()
    paths = [path for path, image in walk(folder) if image][:images]
    listed = time.perf_counter()
    decoded = decode_files(paths, DataPlace(None, cache), DecodeRecipe())
    done = time.perf_counter()
    pages = int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return {
        "images": len(decoded.kept),
        "import": ready - begun,
        "list": listed - ready,
        "decode": done - listed,
        "peak MB": pages / 1024,
        "peak MB of a worker": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
    }


def in_fresh_process(folder: Path, images: int, cache: Path) -> dict[str, float]:
    command = [sys.executable, "-P", __file__, str(folder), "--images", str(images), "--once", str(cache)]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--once", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.once is not None:
        sys.stdout.write(json.dumps(start_once(asked.folder, asked.images, asked.once)))
        return
    paths = sorted(str(path) for path in asked.folder.rglob("*.*") if path.is_file())[: asked.images]
    bare_seconds(paths)  # brings the files into memory
    alone, ours, firsts, seconds = [], [], [], []
    for _ in range(asked.rounds):
        alone.append(bare_seconds(paths))
        with tempfile.TemporaryDirectory() as cache:
            firsts.append(in_fresh_process(asked.folder, asked.images, Path(cache)))
            seconds.append(in_fresh_process(asked.folder, asked.images, Path(cache)))
        ours.append(firsts[-1]["decode"])
        sys.stdout.write(f"bare {alone[-1]:.2f} s, into the cache {ours[-1]:.2f} s\n")
    again = min(one["import"] + one["list"] + one["decode"] for one in seconds)
    sys.stdout.write(
        f"{len(paths):,} images: into the cache {min(ours):.2f} s, bare {min(alone):.2f} s, ratio "
        f"{min(ours) / min(alone):.2f}; second start {again:.2f} s, imports and listing included\n"
    )
    for images in (asked.images // 6, asked.images):
        with tempfile.TemporaryDirectory() as cache:
            found = in_fresh_process(asked.folder, images, Path(cache))
        sys.stdout.write(
            f"peak memory at {images:,} images: {found['peak MB']:.0f} MB, "
            f"of a worker {found['peak MB of a worker']:.0f} MB\n"
        )


if __name__ == "__main__":
    main()
