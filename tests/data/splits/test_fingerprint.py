"""The fingerprint changes with everything that decides a score, and with nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.contract import Images, Split
from bench.data.splits import fingerprint as module
from bench.data.splits.fingerprint import fingerprint

MakeSplit = Callable[..., Split]


def test_pixels_labels_ids_classes_and_parts_all_count(make_split: MakeSplit) -> None:
    part = make_split([0, 1, 0, 1])
    pixels = part.images.pixels.copy()
    pixels[3, 1, 1, 0] += 1
    variants = [
        fingerprint(("a", "b"), {"train": part}),
        fingerprint(("a", "c"), {"train": part}),
        fingerprint(("ab",), {"train": part}),
        fingerprint(("a", "b"), {"query": part}),
        fingerprint(("a", "b"), {"train": part, "query": part}),
        fingerprint(("a", "b"), {"train": replace(part, images=Images(pixels))}),
        fingerprint(("a", "b"), {"train": replace(part, images=Images(part.images.pixels.reshape(4, 4, 1, 1)))}),
        fingerprint(("a", "b"), {"train": replace(part, labels=part.labels[::-1].copy())}),
        fingerprint(("a", "b"), {"train": replace(part, ids=part.ids[::-1].copy())}),
        fingerprint(("a", "b"), {"train": part.subset(np.array([0, 1, 2]))}),
    ]
    assert len(set(variants)) == len(variants)
    assert all(len(one) == 64 and set(one) <= set("0123456789abcdef") for one in variants)


def test_how_the_images_lie_in_memory_does_not_count(make_split: MakeSplit, tmp_path: Path) -> None:
    part = make_split([0, 1, 0, 1])
    np.save(tmp_path / "pixels.npy", part.images.pixels)
    rows = np.array([3, 1, 0, 2])
    scattered = Images(part.images.pixels[np.argsort(rows)], rows)
    variants = [
        part,
        replace(part, images=Images(np.load(tmp_path / "pixels.npy", mmap_mode="r"))),
        replace(part, images=scattered),
        replace(part, images=Images(np.asfortranarray(part.images.pixels))),
        replace(part, ids=part.ids.astype("<U50")),
    ]
    assert len({fingerprint(("a", "b"), {"train": one}) for one in variants}) == 1


def test_the_size_of_the_pieces_does_not_count(make_split: MakeSplit, monkeypatch: pytest.MonkeyPatch) -> None:
    part = make_split([0, 1, 0, 1, 0])
    whole = fingerprint(("a", "b"), {"train": part})
    monkeypatch.setattr(module, "CHUNK", 8)
    assert fingerprint(("a", "b"), {"train": part}) == whole


def test_an_empty_part_has_a_fingerprint(make_split: MakeSplit) -> None:
    part = make_split([0, 1])
    empty = part.subset(np.zeros(0, np.int64))
    assert fingerprint(("a",), {"train": part, "validation": empty}) != fingerprint(("a",), {"train": part})
