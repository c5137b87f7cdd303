"""What a run answers: neighbours, a pair's likeness, decoded pictures. Plain values that JSON can hold."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from PIL import Image

from bench.contract import pair_scorer_of
from bench.data.decoding.image_source import UnreadableImageError
from bench.evaluation.inference.embed import to_floats
from bench.evaluation.metrics.verification import probabilities
from bench.evaluation.ranking.arrays import Ints, Vectors
from bench.evaluation.ranking.vectors import spherical_walk
from bench.search.search import nearest
from bench.serve.shared_gallery import Contestant, SharedGallery

if TYPE_CHECKING:
    from bench.contract import Pixels

T = TypeVar("T")
_THUMBNAIL = 224  # pixels of a picture's longer side, at most


@dataclass(frozen=True)
class Query:
    """A picture to ask with. row: of the gallery, where it is one of it; pixels: uint8 ``(height, width, channels)``.

    pixels are None for a gallery item whose picture could not be loaded: its vector is known all the same.
    """

    pixels: Pixels | None
    row: int | None = None

    def vector(self, contestant: Contestant) -> Vectors:
        """Return its unit vector, float32 ``(d,)``."""
        if self.row is not None:
            known: Vectors = contestant.vectors[self.row]
            return known
        if self.pixels is None:
            raise ValueError("a query is a picture or a row")
        embedded: Vectors = contestant.run.embed(self.pixels[None])[0]
        return embedded


@dataclass(frozen=True)
class Question:
    """What is searched for: a query's k nearest items, of one class if ``label`` says so, none below ``least``."""

    query: Query
    k: int
    label: int | None
    least: float | None = None


def describe(gallery: SharedGallery, query: Query) -> dict[str, Any]:
    """Return what is known of a query, the picture as the methods see it, and which gallery answers."""
    facts = {"row": None, "id": None, "label": None} if query.row is None else item(gallery, query.row)
    return {
        **facts,
        "version": gallery.version,
        "size": len(gallery),
        "classes": list(gallery.classes) if gallery.own else None,
        "seen": None if query.pixels is None else data_uri(query.pixels),
    }


def item(gallery: SharedGallery, row: int) -> dict[str, Any]:
    """Return which image of the gallery a row is."""
    label = int(gallery.labels[row])
    return {"row": row, "id": str(gallery.ids[row]), "label": label if label >= 0 else None}


def search(gallery: SharedGallery, contestant: Contestant, asked: Sequence[Question]) -> list[dict[str, Any]]:
    """Return one run's answers to questions: the k nearest items of each, and what its vector decodes to.

    Times are wall-clock milliseconds; ``embed_ms`` is that of all pictures among the questions, which are embedded at
    once (``together``), and None where the vector was known.
    """
    pictures = [one.query.pixels for one in asked if one.query.row is None and one.query.pixels is not None]
    embedded, embed_ms = _timed(lambda: contestant.run.embed(np.stack(pictures)) if pictures else None)
    fresh = iter(() if embedded is None else embedded)
    vectors = np.stack([next(fresh) if one.query.row is None else contestant.vectors[one.query.row] for one in asked])
    decoded = _decoded(contestant, vectors)
    answers = []
    for one, vector, picture in zip(asked, vectors, decoded, strict=True):
        (rows, similarities), search_ms = _timed(lambda: _nearest(gallery, contestant, vector, one))  # noqa: B023 - at once
        hits = [
            {"similarity": _cosine(similarity), **item(gallery, row)}
            for row, similarity in zip(rows.tolist(), similarities, strict=True)
        ]
        times = {"embed_ms": embed_ms if one.query.row is None else None, "search_ms": search_ms}
        near = [hit for hit in hits if one.least is None or hit["similarity"] >= np.float32(one.least)]
        answers.append(
            {"hits": near, "nearest": hits[0] if hits else None, **times, "together": len(pictures), **picture}
        )
    return answers


def compare(contestant: Contestant, first: Query, last: Query) -> dict[str, Any]:
    """Return the cosine of two pictures and how probable one class is, by the method itself or by validation pairs."""
    a, b = first.vector(contestant), last.vector(contestant)
    cosine = _cosine(a @ b)
    probability, source = _probability(contestant, first, last, cosine)
    return {"cosine": cosine, "probability": probability, "source": source}


def walk(contestant: Contestant, first: Query, last: Query, steps: int) -> dict[str, Any]:
    """Return the pictures on the straightest way from one embedding to the other, both ends included."""
    run = contestant.decodes
    if run is None:
        raise ValueError("only a run with a decoder is asked for a walk")
    vectors = spherical_walk(first.vector(contestant), last.vector(contestant), steps)
    return {"pictures": [data_uri(picture) for picture in run.decode(vectors)]}


def picture(gallery: SharedGallery, row: int) -> tuple[bytes, str] | None:
    """Return a gallery image's file and media type, None where the gallery has no pictures; large ones made smaller."""
    pixels = pixels_of(gallery, row)
    return None if pixels is None else encode(pixels)


def pixels_of(gallery: SharedGallery, row: int) -> Pixels | None:
    """Return a gallery image, uint8 ``(height, width, channels)``; None where there are no pictures, or it is gone."""
    try:
        return None if gallery.images is None else gallery.images.take(slice(row, row + 1))[0]
    except UnreadableImageError:
        return None


def encode(pixels: Pixels) -> tuple[bytes, str]:
    """Return an image as a file's bytes and its media type: PNG, for larger ones JPEG of at most 224 pixels."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else np.ascontiguousarray(pixels))
    buffer = io.BytesIO()
    if max(image.size) <= _THUMBNAIL // 2:
        image.save(buffer, "PNG", compress_level=1)
        return buffer.getvalue(), "image/png"
    image.thumbnail((_THUMBNAIL, _THUMBNAIL), Image.Resampling.LANCZOS)
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue(), "image/jpeg"


def data_uri(pixels: Pixels) -> str:
    """Return an image as an address that needs no request."""
    data, kind = encode(pixels)
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _nearest(gallery: SharedGallery, contestant: Contestant, vector: Vectors, asked: Question) -> tuple[Ints, Vectors]:
    itself = asked.query.row
    if asked.label is None:
        return nearest(contestant.vectors, vector, asked.k, itself)
    rows = np.flatnonzero(gallery.labels == asked.label)
    if not len(rows):
        return rows, np.empty(0, np.float32)
    own = np.flatnonzero(rows == itself) if itself is not None else rows[:0]
    found, similarities = nearest(contestant.vectors[rows], vector, asked.k, int(own[0]) if len(own) else None)
    return rows[found], similarities


def _decoded(contestant: Contestant, vectors: Vectors) -> list[dict[str, Any]]:
    """Return what vectors decode to and the cosine of each such picture's own vector, for a run with a decoder."""
    run = contestant.decodes
    if run is None:
        return [{"decoded": None}] * len(vectors)
    pixels = run.decode(vectors)
    cosines = np.einsum("ij,ij->i", run.embed(pixels), vectors)
    return [
        {"decoded": data_uri(one), "decoded_cosine": _cosine(cosine)}
        for one, cosine in zip(pixels, cosines, strict=True)
    ]


def _probability(contestant: Contestant, first: Query, last: Query, cosine: float) -> tuple[float | None, str | None]:
    """Return the probability that two pictures show one class and who says so; (None, None) where nobody does."""
    scorer = pair_scorer_of(contestant.run.method)
    if scorer is not None and first.pixels is not None and last.pixels is not None:
        left, right = (to_floats(one.pixels[None], contestant.run.device) for one in (first, last))  # type: ignore[index] # asked above
        with torch.inference_mode():
            return float(scorer.pair_score(left, right)[1][0]), "method"
    run = contestant.result
    found = probabilities(None if run is None else run.thresholds, np.array([cosine], np.float32))
    return (None, None) if found is None else (float(found[0]), "validation")


def _cosine(product: np.float32 | Vectors) -> float:
    """Return an inner product of unit vectors as a cosine: rounding may put it a trace outside [-1, 1]."""
    return float(np.clip(product, -1.0, 1.0))


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    start = time.perf_counter()
    return work(), (time.perf_counter() - start) * 1e3
