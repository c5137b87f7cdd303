"""The pretrained models that people mean: short names for timm's, and which benchmarks their training data touch.

The table is ``zoo.csv``. What timm says of a model (licence, input size, length of a vector) is compared with timm by a
test. Only what a paper or a data set's own page says of training data is in ``OVERLAPS``; all else is not known.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

_TIMM = "timm/"  # before a model's name in the option ``encoder``


@dataclass(frozen=True)
class Pretrained:
    """One model.

    alias: what ``-o model=`` and ``-o encoder=timm/`` take for it; model: timm's full name; licence: of the weights, as
    timm gives it; pooling: what the vector is: "class token", "mean" (of all places) or "attention" (the model's own
    pooling head), before any classifier, and before CLIP's and PE's projection to the space of texts, which timm has in
    place of one; size: side of the square input in pixels; length: numbers in a vector; learnt_from: the collection
    that it was trained on; published: frozen retrieval figures of its makers or of MIEB.
    """

    alias: str
    model: str
    licence: str
    pooling: str
    size: int
    length: int
    learnt_from: str
    published: str

    @property
    def overlaps(self) -> tuple[Overlap, ...]:
        """What is known of benchmarks in its training data; empty: not known."""
        return tuple(one for one in OVERLAPS if self.learnt_from in one.learnt_from)


@dataclass(frozen=True)
class Overlap:
    """Data sets, by their names here, that collections of training pictures touch; how, in words; who says so."""

    learnt_from: tuple[str, ...]
    datasets: tuple[str, ...]
    how: str
    source: str

    def __str__(self) -> str:
        return f"{self.how} ({self.source})"


_IMAGENET = ("ImageNet-1k", "ImageNet-22k", "LVD-142M", "LVD-1689M")  # both of DINO's hold ImageNet as it is
OVERLAPS = (
    Overlap(
        ("LVD-142M",),
        ("cub200", "cars196", "food101", "flowers102", "oxford-pets", "amstertime", "roxford5k", "rparis6k", "gldv2"),
        "web pictures chosen by their likeness to this data set",
        "arXiv 2304.07193, table 15",
    ),
    Overlap(
        _IMAGENET,
        ("cub200",),
        "ImageNet, which shares pictures with this data set",
        "the page of CUB-200-2011",
    ),
    Overlap(
        _IMAGENET,
        ("stl10",),
        "ImageNet, from which this data set was drawn",
        "the page of STL-10",
    ),
)


@cache
def zoo() -> tuple[Pretrained, ...]:
    """Return all models, family by family, the smallest first."""
    text = files("bench.training.encoders").joinpath("zoo.csv").read_text("utf-8")
    rows = csv.DictReader(text.splitlines())
    return tuple(Pretrained(size=int(row.pop("size")), length=int(row.pop("length")), **row) for row in rows)


def timm_name(name: str) -> str:
    """Return timm's name of a model by its alias; any other name as it is."""
    return next((one.model for one in zoo() if one.alias == name), name)


def full_encoder(encoder: str) -> str:
    """Return the option ``encoder`` with timm's name in place of an alias: ``timm/resnet-50``; any other as it is."""
    return f"{_TIMM}{timm_name(encoder.removeprefix(_TIMM))}" if encoder.startswith(_TIMM) else encoder


def pooling(name: str) -> dict[str, Any]:
    """Return what timm must be told of a model's pooling: DINOv3's transformers are its only ones of the wrong one.

    Their makers, and the published figures, take the class token; timm the mean of the patches.
    """
    return {"global_pool": "token"} if name.startswith("vit_") and "dinov3" in name.partition(".")[0] else {}


def seen_before(options: Mapping[str, Any], dataset: str) -> tuple[str, ...]:
    """Return notes for the row of a run: what its encoder's training data have of the data set; mostly nothing.

    options: of the method, all of them; dataset: its name, with its variant where it has one (``cub200-dml``).
    """
    encoder = str(options.get("encoder", ""))
    name = encoder.removeprefix(_TIMM) if encoder.startswith(_TIMM) else options.get("model")
    if not isinstance(name, str) or options.get("weights") != "pretrained":
        return ()
    found = next((one for one in zoo() if _same_weights(one.model, name)), None)
    return tuple(
        f"in the encoder's training data: {one}"
        for one in (found.overlaps if found else ())
        if any(dataset == known or dataset.startswith(f"{known}-") for known in one.datasets)
    )


def _same_weights(name: str, other: str) -> bool:
    """Return whether two of timm's names mean the same weights: one without a tag means timm's first choice."""
    if name == other or name.partition(".")[0] != other.partition(".")[0]:
        return name == other
    import timm  # noqa: PLC0415 - the listing of models imports nothing heavy

    return bool(timm.get_pretrained_cfg(name) == timm.get_pretrained_cfg(other))
