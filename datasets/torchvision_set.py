"""Any image classification set of torchvision: `torchvision:<Class>`, such as torchvision:Flowers102.

Its images are taken out once, into PNG files in the cache, and from there on are like own images. torchvision's own
code reads the files, unpickling included, and downloads them; sets with a name of their own here do without.
"""

from __future__ import annotations

import hashlib
import json
import operator
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from bench import Collection, DataError, DataPlace, dataset
from bench.contract import ResizeMode
from bench.data.decoding.decode import DecodeRecipe
from bench.data.download.torchvision_parts import Opened, class_called, open_parts
from bench.data.formats.archives import extracted_folder
from bench.data.layouts.listing import Listing, Part, collect
from bench.naming import slug

from ._pictures import tested

SAMPLES = 16  # images of a part that tell whether it is still the one that was taken out
LABELS = "labels.json"


@dataset
@dataclass(frozen=True)
class Torchvision:
    """name: the class in torchvision.datasets; its files are looked for under the data root and our cache.

    size, resize: as for a folder of your own; mirror: a mirrored image shows the same class.
    """

    name: str = ""
    size: int | None = None
    resize: ResizeMode = "crop"
    mirror: bool = True

    def fetch(self, place: DataPlace) -> Path:
        root, _ = open_parts(class_called(self.name), place)
        return root

    def load(self, place: DataPlace) -> Collection:
        root, opened = open_parts(class_called(self.name), place)
        parts = {part: _taken_out(self.name, part, one, place.cache) for part, one in opened.items()}
        listing = Listing(slug("torchvision", self.name), root, tested(parts, root))
        size = None if self.size is None else (self.size, self.size)
        return collect(listing, place, DecodeRecipe(size, self.resize), mirror=self.mirror)


def _taken_out(name: str, part: str, opened: Opened, cache: Path) -> Part:
    """Write a part's images as files, unless they are there from before, and list them."""
    count = len(opened.pairs)
    digest = hashlib.sha256(f"{name} {part} {count} {opened.classes}".encode())
    for row in np.linspace(0, max(count - 1, 0), min(SAMPLES, count)).astype(int).tolist():
        image, label = _pair(name, opened, row)
        digest.update(f"{image.mode} {image.size} {label}".encode() + image.tobytes())
    with extracted_folder(cache, f"{slug('torchvision', name)}-{part}-{digest.hexdigest()[:16]}") as (folder, new):
        if new is not None:
            (new / LABELS).write_text(json.dumps(list(_written(name, opened, new))), "utf-8")
    labels = json.loads((folder / LABELS).read_text("utf-8"))
    paths = tuple(str(folder / f"{row:07d}.png") for row in range(count))
    return Part(paths, tuple(labels), tuple(f"{part}/{row:05d}" for row in range(count)))


def _written(name: str, opened: Opened, folder: Path) -> Iterator[str]:
    for row in range(len(opened.pairs)):
        image, label = _pair(name, opened, row)
        image.save(folder / f"{row:07d}.png", compress_level=1)
        yield label


def _pair(name: str, opened: Opened, row: int) -> tuple[Image.Image, str]:
    """Return an image and its class's name. Raises DataError where a set gives anything else."""
    given = opened.pairs[row]
    wrong = DataError(f"torchvision:{name}: its items are not pairs of an image and a class number")
    if not isinstance(given, tuple) or len(given) != 2 or not isinstance(given[0], Image.Image):
        raise wrong
    try:
        number = operator.index(given[1])
    except TypeError:
        raise wrong from None
    image = given[0] if given[0].mode in ("L", "RGB", "RGBA", "LA", "P", "I;16", "1") else given[0].convert("RGB")
    return image, opened.classes[number] if 0 <= number < len(opened.classes) else str(number)
