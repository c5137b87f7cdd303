"""One method in full: what it decodes, which pairs it mistakes, how its classes and vectors lie, and its controls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.contract import Control, DataError
from bench.evaluation.metrics.verification import probabilities
from bench.evaluation.ranking.arrays import Floats, Ints, Scores, Vectors
from bench.report.figures.classes import (
    MOST_CLASSES,
    class_similarity,
    confusion,
    draw_class_similarity,
    draw_confusion,
    query_similarity,
)
from bench.report.figures.curves import draw_curves
from bench.report.figures.frontier import draw_frontier
from bench.report.figures.style import Drawn
from bench.report.figures.vectors import PlaneOf, draw_histogram, draw_map
from bench.report.html.pairs import Pairs, draw_pairs, examples, most_mistaken, own_probabilities
from bench.report.html.retrievals import Question, questions
from bench.report.html.thumbnails import Pictures, Sheet, Tile
from bench.report.tables.groups import Answers, Row, read_samples
from bench.runs.artifacts import read_vectors


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


MAPPED = 240  # gallery images on a map: each has its thumbnail


@dataclass(frozen=True)
class PairExample:
    """Two images: why they are shown, whether they are of one class, how alike they are, how probable one class is."""

    why: str
    left: Tile | None
    right: Tile | None
    labels: tuple[str, str]
    same: bool
    similarity: float
    probability: float | None

    def judged_right(self, threshold: float | None) -> bool | None:
        """Whether the threshold judges the pair rightly; None without one."""
        return None if threshold is None else (self.similarity >= threshold) == self.same


@dataclass(frozen=True)
class Detail:
    """Everything the page shows of one row beyond its numbers, made from its first seed.

    own_probability: whether the pairs' probabilities are the method's own, not read off its validation pairs;
    similarity: the shown queries against each shown class, float64 ``(k, c)``; columns: those classes' names.
    """

    row: Row
    figures: tuple[Drawn, ...]
    reconstructions: tuple[Reconstruction, ...]
    pairs: tuple[PairExample, ...]
    own_probability: bool
    threshold: float | None
    similarity: Floats
    columns: tuple[str, ...]
    worst: tuple[Question, ...]
    controls: tuple[Control, ...]


@dataclass(frozen=True)
class Shared:
    """What all rows of a table are shown on: the pairs, the gallery rows on the map and its kind, and the queries."""

    pairs: Pairs
    mapped: Ints
    plane: PlaneOf
    queries: Ints

    @classmethod
    def of(cls, answers: Answers, asked: Sequence[Question], plane: PlaneOf, *, seed: int = 0) -> Shared:
        """Draw them by seed, for the answers of a table's first row."""
        rng = np.random.default_rng((seed, 12))
        count = len(answers.gallery_ids)
        mapped = np.sort(rng.choice(count, min(MAPPED, count), replace=False)).astype(np.int64)
        queries = np.array([one.position for one in asked], dtype=np.int64)
        return cls(draw_pairs(answers, seed=seed), mapped, plane, queries)


def detail_of(row: Row, answers: Answers, shared: Shared, pictures: Pictures | None, sheet: Sheet) -> Detail:
    """Return one row's detail. Raises DataError where its vectors cannot be read."""
    vectors = read_vectors(row.first)
    query, gallery = vectors["query"], vectors["gallery"]
    if (len(query), len(gallery)) != (len(answers.ids), len(answers.gallery_ids)):
        raise DataError(f"{row.first.folder}: {len(query)} and {len(gallery)} vectors, which are not its images'")
    facts = row.first.result.thresholds
    threshold = facts.validation.eer_threshold if facts else None
    alike = shared.pairs.similarities(query, gallery)
    labels = answers.gallery_labels[shared.mapped]
    figures: list[Drawn | None] = [
        draw_map(row, shared.plane(gallery, shared.mapped), labels, answers.classes),
        *([] if answers.positives is not None else _of_classes(row, answers, query, gallery)),
        draw_curves(row),
    ]
    if shared.pairs.same.any() and not shared.pairs.same.all():
        same = shared.pairs.same
        figures.append(draw_histogram(row, alike[same], alike[~same], threshold))
    figures.append(draw_frontier(row))
    named = [("drawn by seed", int(at)) for at in examples(shared.pairs)] + most_mistaken(shared.pairs, alike)
    reasons, places = [why for why, _ in named], [at for _, at in named]
    chosen = shared.pairs.take(places)
    own = own_probabilities(row.first, chosen, pictures) if pictures else None
    probable = probabilities(facts, alike[places]) if own is None else own
    pairs = _pairs(answers, chosen, reasons=reasons, alike=alike[places], probable=probable, pictures=pictures)
    shown = np.unique([answers.labels[at] for at in shared.queries])
    columns = np.arange(len(answers.classes)) if len(answers.classes) <= MOST_CLASSES else shown
    return Detail(
        row,
        tuple(figure for figure in figures if figure is not None),
        tuple(reconstructions(row, answers, sheet)),
        tuple(pairs),
        own is not None,
        threshold,
        query_similarity(answers, query, gallery, shared.queries)[:, columns],
        tuple(answers.classes[at] for at in columns),
        tuple(questions({row: answers}, pictures, ("worst",))),
        row.first.result.controls,
    )


def _of_classes(row: Row, answers: Answers, query: Vectors, gallery: Vectors) -> list[Drawn]:
    """Return the figures of class against class, which need labels that say what is right."""
    confused = confusion(answers)
    alike = class_similarity(answers, query, gallery)
    return [
        draw_confusion(row, confused, answers.classes),
        draw_class_similarity(row, alike, answers.classes, confused),
    ]


def _pairs(
    answers: Answers,
    pairs: Pairs,
    *,
    reasons: Sequence[str],
    alike: Scores,
    probable: Floats | None,
    pictures: Pictures | None,
) -> list[PairExample]:
    return [
        PairExample(
            why,
            pictures.query(query) if pictures else None,
            pictures.item(item) if pictures else None,
            (answers.classes[answers.labels[query]], answers.classes[answers.gallery_labels[item]]),
            bool(pairs.same[at]),
            float(alike[at]),
            None if probable is None else float(probable[at]),
        )
        for at, (why, query, item) in enumerate(zip(reasons, pairs.query.tolist(), pairs.item.tolist(), strict=True))
    ]
