"""What the page searches: one gallery, and all the runs that were scored on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.contract import DataError, Progress, SimbenchError, pair_scorer_of
from bench.evaluation.ranking.arrays import Ints, Vectors
from bench.runs.loaded_run import TrainedRun
from bench.search.preparation import Preparation

if TYPE_CHECKING:
    from bench.contract import Dataset, Ids, Images
    from bench.runs.store import RunRecord

Place = tuple[str, str, str]  # data set, protocol, fingerprint


@dataclass(frozen=True)
class Contestant:
    """One run that answers. name: unique in its gallery; vectors: the gallery's, unit float32 ``(n, d)``."""

    name: str
    run: TrainedRun
    vectors: Vectors

    def facts(self) -> dict[str, Any]:
        """Return what the page shows of the run itself."""
        run = self.run.record.result
        return {
            "name": self.name,
            "method": run.method,
            "key": run.key,
            "seed": run.seed,
            "dimension": self.run.dimension,
            "map": run.scores.get("map"),
            "hit@1": run.scores.get("hit@1"),
            "decodes": self.run.decoder is not None,
            "scores_pairs": pair_scorer_of(self.run.method) is not None,
        }


@dataclass(frozen=True)
class SharedGallery:
    """A gallery and its contestants. images: of the gallery, None where they cannot be loaded (``missing`` says why).

    labels: int64 ``(n,)``, numbers into ``classes``; ids: str ``(n,)``.
    """

    place: Place
    labels: Ints
    ids: Ids
    classes: tuple[str, ...]
    preparation: Preparation
    contestants: tuple[Contestant, ...]
    images: Images | None = None
    missing: str = ""

    @property
    def title(self) -> str:
        return f"{self.place[0]} · {self.place[1]} · {self.preparation.shape}"

    def __len__(self) -> int:
        return len(self.ids)


def choose_records(records: Sequence[RunRecord]) -> list[RunRecord]:
    """Return one finished run with weights of each method and choice of options: the one with the lowest seed."""
    chosen: dict[tuple[Any, ...], RunRecord] = {}
    for record in sorted(records, key=lambda one: one.result.seed):
        run = record.result
        if run.has_weights:
            chosen.setdefault((*run.place, run.method, run.key), record)
    return sorted(chosen.values(), key=lambda one: (one.result.place, -one.result.scores.get("map", 0.0)))


def open_galleries(
    records: Sequence[RunRecord],
    open_run: Callable[[RunRecord], TrainedRun],
    open_images: Callable[[RunRecord], Dataset] | None,
    progress: Progress,
    log: Callable[[str], None],
) -> list[SharedGallery]:
    """Open runs and put those of one gallery together, those with most runs first.

    A run that cannot be opened is told and left out, and a data set that cannot be loaded leaves its gallery without
    pictures. Raises SimbenchError where no run can be opened.
    """
    found: dict[Place, SharedGallery] = {}
    for record in progress(records, total=len(records), what="open runs"):
        try:
            _add(found, record, open_run(record))
        except SimbenchError as error:
            log(f"left out: {error}")
    if not found:
        raise SimbenchError("none of the runs can be opened; the lines above say why")
    most_runs_first = sorted(found.values(), key=lambda one: -len(one.contestants))
    return [_named(_with_images(one, open_images, log)) for one in most_runs_first]


def _add(found: dict[Place, SharedGallery], record: RunRecord, run: TrainedRun) -> None:
    kept = run.gallery()
    contestant = Contestant(record.result.method, run, kept.vectors)
    place, preparation = record.result.place, Preparation.of(run.shape, run.resize)
    known = found.get(place)
    if known is None:
        found[place] = SharedGallery(place, kept.labels, kept.ids, kept.classes, preparation, (contestant,))
    elif not np.array_equal(known.ids, kept.ids) or known.preparation != preparation:
        raise DataError(f"{record.folder}: its gallery differs from that of the other runs on {known.title}")
    else:
        found[place] = replace(known, contestants=(*known.contestants, contestant))


def _with_images(
    gallery: SharedGallery, open_images: Callable[[RunRecord], Dataset] | None, log: Callable[[str], None]
) -> SharedGallery:
    if open_images is None:
        return replace(gallery, missing="pictures are left out, as asked")
    try:
        part = open_images(gallery.contestants[0].run.record).gallery
        if not np.array_equal(part.ids, gallery.ids):
            raise DataError("the data set has other ids than the run")
    except SimbenchError as error:
        log(f"{gallery.title}: without pictures: {error}")
        return replace(gallery, missing="the data set's pictures could not be loaded; the server's terminal says why")
    return replace(gallery, images=part.images)


def _named(gallery: SharedGallery) -> SharedGallery:
    """Give every contestant a name of its own: the method's, with seed or key where there are several of it."""
    runs = [one.run.record.result for one in gallery.contestants]
    methods = [run.method for run in runs]
    keys = [(run.method, run.key) for run in runs]
    named = []
    for one, run, key in zip(gallery.contestants, runs, keys, strict=True):
        same = [other for other in keys if other[0] == key[0]]
        words = [run.key] if len(set(same)) > 1 else []
        words += [f"seed {run.seed}"] if same.count(key) > 1 else []
        apart = f" ({', '.join(words)})" if methods.count(run.method) > 1 else ""
        named.append(replace(one, name=f"{run.method}{apart}"))
    return replace(gallery, contestants=tuple(named))
