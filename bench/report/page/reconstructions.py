"""Originals above what a decoder makes of their embeddings, with the cosine of both images' embeddings."""

from __future__ import annotations

from dataclasses import dataclass

from bench.report.page.arrays import Answers, read_samples
from bench.report.page.groups import Row
from bench.report.page.thumbnails import Sheet, Tile


@dataclass(frozen=True)
class Reconstruction:
    """One image before and after, its class, its id, and the cosine of both embeddings."""

    label: str
    id: str
    cosine: float
    original: Tile
    decoded: Tile


def reconstructions(row: Row, answers: Answers, sheet: Sheet) -> list[Reconstruction]:
    """Return the samples that a decoding run kept, evenly spaced over the classes; none where it does not decode."""
    kept = read_samples(row.first)
    if kept is None:
        return []
    labels = kept["labels"] if "labels" in kept else [-1] * len(kept["cosines"])
    ids = kept["ids"] if "ids" in kept else [str(at) for at in range(len(kept["cosines"]))]
    return [
        Reconstruction(
            answers.classes[label] if label >= 0 else "",
            str(name),
            float(cosine),
            sheet.add(str(name), original),
            sheet.add((row.slug, "decoded", str(name)), decoded),
        )
        for label, name, cosine, original, decoded in zip(
            labels, ids, kept["cosines"], kept["originals"], kept["decoded"], strict=True
        )
    ]
