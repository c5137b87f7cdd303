"""Vectors from anywhere, treated as a run's are: files in; scores, controls and thresholds out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.contract import Control, DataError, Thresholds, UsageError, to_jsonable
from bench.data.formats.answer_files import Answers, Named
from bench.data.formats.vector_files import read_names, read_vectors
from bench.data.formats.vector_ids import maker_of
from bench.evaluation.evaluate import Evaluation, evaluate_set
from bench.evaluation.metrics.conventions import DIALECTS, translate
from bench.evaluation.ranking.relevance import as_names
from bench.evaluation.ranking.retrieval_set import RetrievalSet
from bench.evaluation.ranking.vectors import as_vectors
from bench.evaluation.sanity.checks import check_evaluation, failures
from bench.evaluation.thresholds.operating_points import fit_thresholds, measure_thresholds
from bench.files import write_arrays, write_json
from bench.naming import did_you_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.evaluation.ranking.arrays import Names, Real


@dataclass(frozen=True)
class Side:
    """One side of a retrieval: vectors ``(n, d)``, and labels, ids and groups ``(n,)`` where there are any."""

    vectors: Real
    labels: Names | None
    ids: Names | None
    groups: Names | None = None

    def named(self, what: str) -> Named:
        """Return the side as a file of lists names it."""
        return Named(what, len(self.vectors), self.ids)


@dataclass(frozen=True)
class Judged:
    """An evaluation with its controls, its thresholds (as in run.json; None without validation) and all flags."""

    evaluation: Evaluation
    controls: tuple[Control, ...]
    thresholds: Thresholds | None
    flags: tuple[str, ...]

    def facts(self) -> dict[str, Any]:
        """Return everything but the per-query arrays as JSON-able values."""
        found = self.evaluation
        return {
            "scores": dict(found.scores),
            "macro": dict(found.macro),
            "ci95": {name: list(both) for name, both in found.ci95.items()},
            "ci95_other_classes": {name: list(both) for name, both in found.ci95_other_classes.items()},
            "flags": list(self.flags),
            "controls": to_jsonable(self.controls),
            "thresholds": to_jsonable(self.thresholds),
        }


def refuse_two_makers(files: Mapping[str, str | None]) -> None:
    """Raise DataError where two of these files of vectors say that two runs made them. files: by their option's name.

    A file that says nothing may be of any.
    """
    known = {name: maker for name, word in files.items() if word and (maker := maker_of(word))}
    first = next(iter(known.items()), None)
    for name, maker in known.items():
        if first is not None and not _one_maker(maker, first[1]):
            raise DataError(
                f"--{name} was made by run {maker}, --{first[0]} by run {first[1]}: vectors of two models cannot be "
                "compared; embed both with one run (simbench embed)"
            )


def _one_maker(one: str, other: str) -> bool:
    """Whether two files' makers are one run: files of former versions do not tell it from the same run made anew."""
    return f"{one} ".startswith(f"{other} ") or f"{other} ".startswith(f"{one} ")


def vectors_in(word: str, what: str) -> Real:
    """Read a file's vectors, ``(n, d)``. what: their name in messages."""
    return as_vectors(read_vectors(word), what)


def read_side(what: str, vectors: str, labels: str | None, ids: str | None = None, groups: str | None = None) -> Side:
    """Read one side's files. what: its name in messages. Raises as ``vector_files`` and ``evaluate`` do."""
    found = vectors_in(vectors, what)

    def names(word: str | None, usual: str) -> Names | None:
        return None if word is None else as_names(read_names(word, usual), len(found), f"{what} {usual}s")

    return Side(found, names(labels, "label"), names(ids, "id"), names(groups, "group"))


def paired(query: Side, gallery: Side | None) -> tuple[Side, Side]:
    """Return both sides ready to rank: without a gallery, each query asks all the others (``loo``).

    Raises UsageError for ids on one side only. Numbers become text where the other side has text.
    """
    if gallery is None:
        rows: Names = np.arange(len(query.vectors), dtype=np.int64)
        alone = replace(query, ids=rows if query.ids is None else query.ids)
        return alone, alone
    for what, both in (("ids", (query.ids, gallery.ids)), ("groups", (query.groups, gallery.groups))):
        if (both[0] is None) != (both[1] is None):
            raise UsageError(f"give {what} of both the query and the gallery, or of neither")
    labels, ids = _alike(query.labels, gallery.labels), _alike(query.ids, gallery.ids)
    groups = _alike(query.groups, gallery.groups)
    return Side(query.vectors, labels[0], ids[0], groups[0]), Side(gallery.vectors, labels[1], ids[1], groups[1])


def judge_vectors(
    query: Side,
    gallery: Side,
    *,
    validation: Side | None = None,
    train: Real | None = None,
    positives: Answers | None = None,
    ignored: Answers | None = None,
    ks: Sequence[int] = (1, 10, 50),
    metrics: Sequence[str] = (),
    ties: str = "pessimistic",
    normalize: bool = True,
    threads: int | None = None,
    device: str = "cpu",
    seed: int = 0,
) -> Judged:
    """Rank, score and check. query, gallery: as ``paired`` returns them; the same object twice is leave-one-out.

    validation: vectors that thresholds may be fitted on; train: vectors of images that were trained on; positives,
    ignored: what answers each query, in place of labels, and what it does not see; metrics: beside the usual ones.
    """
    if validation is not None and validation.vectors.shape[1] != query.vectors.shape[1]:
        raise DataError(
            f"validation vectors have {validation.vectors.shape[1]} dimensions, query vectors {query.vectors.shape[1]}"
        )
    data = RetrievalSet.of(
        query.vectors,
        query.labels,
        gallery.vectors,
        gallery.labels,
        query_ids=query.ids,
        gallery_ids=gallery.ids,
        query_groups=query.groups,
        gallery_groups=gallery.groups,
        positives=None if positives is None else positives.lists,
        gains=None if positives is None else positives.gains,
        ignore=None if ignored is None else ignored.lists,
        normalize=normalize,
        train=train,
    )
    found = evaluate_set(data, ks=ks, metrics=metrics, ties=ties, threads=threads, device=device, seed=seed)
    controls = check_evaluation(found, data, ties=ties, threads=threads, seed=seed)
    thresholds, flags = None, [*found.flags, *failures(controls)]
    if validation is not None and validation.labels is not None:
        fitted = fit_thresholds(validation.vectors, validation.labels, normalize=normalize, seed=seed)
        if fitted is None:
            raise DataError("validation has no pairs of one label and of two: no threshold can be fitted")
        thresholds = Thresholds(fitted, measure_thresholds(fitted, data, seed=seed, device=device))
    return Judged(found, controls, thresholds, tuple(flags))


def check_dialects(dialects: Sequence[str]) -> None:
    """Raise UsageError for an unknown dialect."""
    for name in dialects:
        if name not in DIALECTS:
            raise UsageError(f"unknown dialect {name!r}{did_you_mean(name, DIALECTS)} (known: {', '.join(DIALECTS)})")


def dialect_scores(found: Evaluation, dialects: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return, by dialect, what it says of each ``map@k``. Raises UsageError for an unknown dialect."""
    by_dialect = {}
    for name in dialects:
        values = translate(found.per_query, name)
        depths = [metric for metric in values if metric.startswith("map@") and metric != "map@r"]
        by_dialect[name] = {metric: float(np.nanmean(values[metric])) for metric in depths}
    return by_dialect


def save_judged(folder: Path, query: Side, gallery: Side, judged: Judged) -> None:
    """Write ``evaluation.json`` (as ``facts``) and ``per_query.npz`` (as in a run's folder)."""
    arrays: dict[str, NDArray[Any]] = {
        **judged.evaluation.per_query,
        "neighbors": judged.evaluation.neighbors,
        "similarities": judged.evaluation.similarities,
    }
    for name in ("labels", "ids", "groups"):
        sides = {name: getattr(query, name), f"gallery_{name}": getattr(gallery, name)}
        arrays |= {one: names for one, names in sides.items() if names is not None}
    write_arrays(folder / "per_query.npz", arrays)
    write_json(folder / "evaluation.json", judged.facts())


def _alike(query: Names | None, gallery: Names | None) -> tuple[Names | None, Names | None]:
    """Return names of both sides in one kind: numbers as text where the other side is text (txt and csv always are)."""
    if query is None or gallery is None or query.dtype.kind == gallery.dtype.kind:
        return query, gallery
    return query.astype(np.str_), gallery.astype(np.str_)
