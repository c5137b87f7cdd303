"""Precision and recall of the data audit on copies planted among real images: the numbers of docs/design/audit.md.

python tests/speed/audit.py /usr/share/datasets/fashion-mnist
python tests/speed/audit.py PATH/TO/A/FOLDER/OF/PICTURES --size 64
"""

from __future__ import annotations

import argparse
import gzip
import io
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from tabulate import tabulate

from bench import Images
from bench.data.audit.duplicates import find_copies

Pixels = NDArray[np.uint8]
Change = Callable[[Image.Image, np.random.Generator], Image.Image]


def _jpeg(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=int(rng.integers(50, 91)))
    return Image.open(buffer)


def _resized(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    scale = 2 ** rng.uniform(-1, 1)
    size = tuple(max(1, round(side * scale)) for side in picture.size)
    return picture.resize((size[0], size[1]), Image.Resampling.BICUBIC).resize(picture.size, Image.Resampling.BICUBIC)


def _brighter(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    gain, shift = rng.uniform(0.85, 1.15), rng.uniform(-10, 10)
    return picture.point(lambda level: level * gain + shift)


CHANGES: dict[str, Change] = {
    "exact": lambda picture, rng: picture.copy(),
    "resized to 50-200 % and back": _resized,
    "JPEG, quality 50-90": _jpeg,
    "brightness x 0.85-1.15, +-10": _brighter,
    "mirrored": lambda picture, rng: ImageOps.mirror(picture),
    "mirrored, then JPEG 50-90": lambda picture, rng: _jpeg(ImageOps.mirror(picture), rng),
}


def pictures_of(path: Path) -> list[Image.Image]:
    """Return the images of gzipped IDX files, or of a folder of JPEG files."""
    archives = sorted(path.glob("*images*ubyte.gz"))
    if archives:
        parts = [np.frombuffer(gzip.decompress(file.read_bytes()), np.uint8, offset=16) for file in archives]
        return [Image.fromarray(image) for image in np.concatenate(parts).reshape(-1, 28, 28)]
    found = []
    for file in sorted(path.rglob("*.jpg")):
        with Image.open(file) as picture:
            found.append(picture.convert("RGB"))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--size", type=int, default=None, help="side that every image is brought to before the audit")
    parser.add_argument("--pairs", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    rng = np.random.default_rng(chosen.seed)
    originals = pictures_of(chosen.path)
    kinds = list(CHANGES)
    sources = rng.permutation(len(originals))[: chosen.pairs * len(kinds)].reshape(len(kinds), -1)
    copies = [CHANGES[kind](originals[n], rng) for kind, row in zip(kinds, sources, strict=True) for n in row]

    def decoded(pictures: list[Image.Image]) -> Images:
        side = chosen.size
        same = [picture.resize((side, side), Image.Resampling.BOX) if side else picture for picture in pictures]
        stacked: Pixels = np.stack([np.asarray(picture, np.uint8) for picture in same])
        return Images(stacked if stacked.ndim == 4 else stacked[..., None])

    base, planted = decoded(originals), decoded(copies)
    started = time.perf_counter()
    found = find_copies([base, planted], mirror=True)
    seconds = time.perf_counter() - started
    home = found.group[: len(base)]
    _report(found.group[len(base) :], home[sources], np.stack([found.first, found.second], axis=1), kinds)
    natural = np.isin(np.stack([found.first, found.second]), home).all(axis=0)
    exact, near = len(home) - len(np.unique(home)), int(natural.sum())
    sys.stdout.write(
        f"\n{len(base):,} originals of {base.shape}, {len(planted):,} copies: {seconds:.1f} s. Among the originals: "
        f"{exact:,} exact copies and {near:,} near pairs that nobody planted.\n"
    )


def _report(groups: NDArray[np.int64], homes: NDArray[np.int64], pairs: NDArray[np.int64], kinds: list[str]) -> None:
    """Count per kind; right is a pair of a copy and its source, or of a copy and its source's own near copy."""
    linked = {(int(a), int(b)) for a, b in pairs} | {(int(b), int(a)) for a, b in pairs}
    by_group: dict[int, set[int]] = {}
    for one, other in linked:
        by_group.setdefault(one, set()).add(other)
    source = dict(zip(groups.tolist(), homes.reshape(-1).tolist(), strict=True))
    rows = []
    for kind, ours, theirs in zip(kinds, groups.reshape(homes.shape), homes, strict=True):
        hits = sum(int(a == b or (a, b) in linked) for a, b in zip(ours.tolist(), theirs.tolist(), strict=True))
        reported = wrong = 0
        for group, home in zip(ours.tolist(), theirs.tolist(), strict=True):
            own = {home} | by_group.get(home, set())
            for other in {source.get(one, one) for one in by_group.get(group, set())}:
                reported += 1
                wrong += int(other not in own and other != group)
            reported += int(group == home and not by_group.get(group))
        precision = 1 - wrong / reported if reported else float("nan")
        rows.append([kind, len(ours), hits, f"{hits / len(ours):.3f}", wrong, f"{precision:.3f}"])
    heads = ["copy", "planted", "found", "recall", "false pairs", "precision"]
    sys.stdout.write(tabulate(rows, heads, tablefmt="pipe", disable_numparse=True) + "\n")


if __name__ == "__main__":
    main()
