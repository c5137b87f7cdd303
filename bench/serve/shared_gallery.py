"""What the page searches: one gallery, and all the runs that were scored on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from bench.contract import DataError, Progress, SimbenchError, pair_scorer_of
from bench.evaluation.ranking.arrays import Ints, Vectors
from bench.runs.loaded_run import TrainedRun
from bench.runs.untrained import UntrainedMethod
from bench.search.preparation import Preparation

if TYPE_CHECKING:
    from bench.contract import Dataset, Ids, Pixels, RunResult
    from bench.runs.store import RunRecord

Place = tuple[str, str, str]  # data set, protocol, fingerprint


class Pictures(Protocol):
    """What a gallery's pictures are taken from: the images of a data set, or the files of a folder."""

    def take(self, index: slice) -> Pixels: ...


@dataclass(frozen=True)
class Contestant:
    """One run, or a method without one, that answers.

    name: unique in its gallery; vectors: the gallery's, unit float32 ``(n, d)``.
    """

    name: str
    run: TrainedRun | UntrainedMethod
    vectors: Vectors

    @property
    def result(self) -> RunResult | None:
        """What is known of the run; None of a method without one."""
        return self.run.record.result if isinstance(self.run, TrainedRun) else None

    @property
    def decodes(self) -> TrainedRun | None:
        """The run as one that decodes, or None where it has no decoder."""
        return self.run if isinstance(self.run, TrainedRun) and self.run.decoder is not None else None

    def facts(self) -> dict[str, Any]:
        """Return what the page shows of the run itself."""
        run = self.result
        return {
            "name": self.name,
            "method": self.name if run is None else run.method,
            "key": None if run is None else run.key,
            "seed": None if run is None else run.seed,
            "dimension": self.run.dimension,
            "map": None if run is None else run.scores.get("map"),
            "hit@1": None if run is None else run.scores.get("hit@1"),
            "decodes": self.decodes is not None,
            "scores_pairs": pair_scorer_of(self.run.method) is not None,
        }


@dataclass(frozen=True)
class SharedGallery:
    """A gallery and its contestants. images: of the gallery, None where they cannot be loaded (``missing`` says why).

    labels: int64 ``(n,)``, numbers into ``classes``, -1 where a picture has none; ids: str ``(n,)``; own: whether it is
    a folder, whose pictures are called by their files' names; former: the ids that rows of former versions stood for.
    """

    place: Place
    labels: Ints
    ids: Ids
    classes: tuple[str, ...]
    preparation: Preparation
    contestants: tuple[Contestant, ...]
    images: Pictures | None = None
    missing: str = ""
    own: bool = False
    former: Mapping[str, Ids] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """What rows are numbers in: another where the gallery has changed."""
        return self.place[2][:12]

    def row_in(self, row: int, version: str) -> int | None:
        """Return the row now of a picture by its row in a version; None where that is not known, or it is gone."""
        if version in ("", self.version):
            return row if row < len(self) else None
        ids = self.former.get(version, self.ids[:0])
        found = np.flatnonzero(self.ids == ids[row]) if row < len(ids) else self.labels[:0]
        return int(found[0]) if len(found) else None

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
    first = gallery.contestants[0].run
    if open_images is None or not isinstance(first, TrainedRun):
        return replace(gallery, missing="pictures are left out, as asked")
    try:
        part = open_images(first.record).gallery
        if not np.array_equal(part.ids, gallery.ids):
            raise DataError("the data set has other ids than the run")
    except SimbenchError as error:
        log(f"{gallery.title}: without pictures: {error}")
        return replace(gallery, missing="the data set's pictures could not be loaded; the server's terminal says why")
    return replace(gallery, images=part.images)


def _named(gallery: SharedGallery) -> SharedGallery:
    """Give every contestant a name of its own: the method's, with seed or key where there are several of it."""
    runs = [one.result for one in gallery.contestants if one.result is not None]  # all of them
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
