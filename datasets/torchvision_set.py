"""Any image classification set of torchvision: `torchvision:<Class>`, such as torchvision:Flowers102.

Its images are taken out once, into PNG files in the cache, and from there on are like own images. torchvision's own
code reads the files, unpickling included, and downloads them; sets with a name of their own here do without.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bench import Collection, DataError, DataPlace, UsageError, dataset
from bench.contract import ResizeMode
from bench.data.decoding.decode import DecodeRecipe
from bench.data.formats.archives import extracted_folder
from bench.data.layouts.listing import Listing, Part, collect
from bench.environment import unreachable
from bench.naming import did_you_mean, reason_of, slug

from ._pictures import tested

SAMPLES = 16  # images of a part that tell whether it is still the one that was taken out
LABELS = "labels.json"
WAYS: Mapping[str, Sequence[tuple[str, Any]]] = {  # part: the arguments that may ask for it, the first that works
    "train": (("train", True), ("split", "train"), ("split", "trainval")),
    "validation": (("split", "val"), ("split", "valid")),
    "test": (("train", False), ("split", "test")),
}
ADDRESSES = ("url", "mirrors", "urls", "download_url_prefix", "_URL")  # where its classes keep what they download from


@dataset
@dataclass(frozen=True)
class Torchvision:
    """name: the class in torchvision.datasets; its files are looked for under the data root and our cache.

    resize: as for a folder of your own; mirror: a mirrored image shows the same class.
    """

    name: str = ""
    resize: ResizeMode = "crop"
    mirror: bool = True

    def fetch(self, place: DataPlace) -> Path:
        root, _ = open_parts(class_called(self.name), place)
        return root

    def load(self, place: DataPlace) -> Collection:
        root, opened = open_parts(class_called(self.name), place)
        parts = {part: _taken_out(self.name, part, one, place.cache) for part, one in opened.items()}
        parts, by_class = tested(parts, root)
        listing = Listing(slug("torchvision", self.name), root, parts, by_class=by_class)
        return collect(listing, place, DecodeRecipe(resize=self.resize), mirror=self.mirror)


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


@dataclass(frozen=True)
class Opened:
    """A part as torchvision gives it: a sequence of pairs of image and class number."""

    pairs: Any
    classes: tuple[str, ...]


def class_called(name: str) -> Any:
    """Return a class of torchvision.datasets. Raises UsageError with the likeliest name."""
    from torchvision import datasets  # noqa: PLC0415 - costs seconds, and only here

    known = [one for one in datasets.__all__ if inspect.isclass(getattr(datasets, one))]
    if name not in known:
        raise UsageError(f"torchvision has no data set {name!r}{did_you_mean(name, known)} (give torchvision:<Class>)")
    return getattr(datasets, name)


def open_parts(cls: Any, place: DataPlace) -> tuple[Path, dict[str, Opened]]:
    """Open a set where its files are, else download it into the cache. Raises DataError with torchvision's reason."""
    roots = [base for base in (place.root, place.cache / "torchvision") if base is not None]
    failure = ""
    for root in roots:
        try:
            return root, _parts(cls, root, download=False)
        except (RuntimeError, OSError, ImportError) as error:
            failure = reason_of(error)
    obstacle = "downloading is switched off" if not place.download else _unreachable(cls)
    if "download" not in inspect.signature(cls).parameters:
        obstacle = "torchvision does not download it"
    if not obstacle:
        roots[-1].mkdir(parents=True, exist_ok=True)
        try:
            return roots[-1], _parts(cls, roots[-1], download=True)
        except (RuntimeError, OSError, ImportError) as error:
            obstacle = f"the download failed: {reason_of(error)}"
    raise DataError(
        f"torchvision:{cls.__name__}: not found under {', '.join(map(str, roots))} ({failure}), and {obstacle}. "
        f"Run `simbench fetch torchvision:{cls.__name__}` with a network, or name a folder that torchvision downloaded "
        "it into with --data-root or SIMBENCH_DATA"
    )


def _parts(cls: Any, root: Path, *, download: bool) -> dict[str, Opened]:
    """Return the parts a class has; one that knows no parts is the train part, to be cut."""
    known = inspect.signature(cls).parameters
    fixed: dict[str, Any] = {"root": str(root)} if "root" in known else {}
    if download:
        fixed["download"] = True
    found = {}
    for part, ways in WAYS.items():
        for argument, value in ways:
            if argument not in known:
                continue
            try:
                pairs = cls(**fixed, **{argument: value})
            except ValueError:  # it has no such split
                continue
            except TypeError as error:
                raise UsageError(f"torchvision:{cls.__name__} needs more than a folder ({error})") from error
            found[part] = Opened(pairs, _classes(pairs))
            break
    if not found:
        try:
            pairs = cls(**fixed)
        except TypeError as error:
            raise UsageError(f"torchvision:{cls.__name__} needs more than a folder ({error})") from error
        found["train"] = Opened(pairs, _classes(pairs))
    return found


def _classes(pairs: Any) -> tuple[str, ...]:
    """Return the class names a set tells, or nothing."""
    names = getattr(pairs, "classes", None)
    if not isinstance(names, (list, tuple)):
        return ()
    return tuple(name if isinstance(name, str) else "/".join(map(str, name)) for name in names)


def _unreachable(cls: Any) -> str:
    """Return why the host that a set comes from cannot be reached, or nothing where its class tells none."""
    for name in ADDRESSES:
        found = getattr(cls, name, None)
        first = next(iter(found), "") if isinstance(found, (list, tuple)) else found
        if isinstance(first, str) and first.startswith("http"):
            return unreachable(first)
    return ""
