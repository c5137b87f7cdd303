"""Vectors that were made elsewhere as a run: matched to a data set by their ids, then scored as a method's are."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np

from bench.contract import GIVEN, Collection, DataError, Dataset, RunResult, RunSpec, Split, Workplace
from bench.data.formats.vector_files import read_vectors
from bench.data.formats.vector_ids import read_ids
from bench.evaluation.ranking.relevance import as_names
from bench.evaluation.ranking.vectors import as_vectors, normalize_rows
from bench.files import digest_of_arrays
from bench.naming import tidied, why_no_name
from bench.runs.recording import Attempt, record_run
from bench.runs.run_plan import data_choices
from bench.runs.sanity_checks import validation_sample
from bench.runs.scoring import SetVectors, audited, save_scored, score_vectors
from bench.runs.store import RunRecord

if TYPE_CHECKING:
    from bench.config import Settings
    from bench.contract import Ids
    from bench.evaluation.ranking.arrays import Vectors

logger = logging.getLogger(__name__)

UNKNOWN_ORIGIN = "vectors made elsewhere: what their model learnt from is not known"
_SEED = 0  # of samples; whoever made the vectors has used seeds of their own


@dataclass(frozen=True)
class GivenVectors:
    """Vectors with an id each. source: their file, as messages name it; vectors: unit float32 ``(n, d)``."""

    source: str
    vectors: Vectors
    ids: tuple[str, ...]

    @classmethod
    def read(cls, word: str, ids: str | None = None) -> GivenVectors:
        """Read a file of vectors, ``PATH`` or ``PATH:KEY``. ids: the file of theirs, see ``read_ids``.

        Raises UsageError where there are no ids, and DataError for vectors that are not ``(n, d)``, not finite or all
        zero, another number of ids than of vectors, and an id that is there twice.
        """
        vectors = normalize_rows(as_vectors(read_vectors(word), word), f"{word}: vectors", DataError)
        named = read_ids(word, ids)
        if named.shape != (len(vectors),):
            raise DataError(f"{word}: {len(vectors):,} vectors, but {len(named):,} ids; each vector needs its own")
        names = tuple(tidied(name) for name in as_names(named, len(vectors), "ids").astype(np.str_).tolist())
        if problem := next(filter(None, map(why_no_name, names)), ""):
            raise DataError(f"{word}: {problem} among its ids")
        twice = [name for name, times in Counter(names).items() if times > 1]
        if twice:
            raise DataError(f"{word}: {_counted(twice, names)} there more than once; keep one vector of each")
        return cls(word, vectors, names)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of ids and vectors, in hex: the same whatever kind of file they came in, and in which order."""
        order = np.argsort(np.array(self.ids))
        return digest_of_arrays({"ids": [self.ids[row] for row in order]}, {"vectors": self.vectors[order]})

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.ids)}

    def missing(self, ids: Sequence[str]) -> list[str]:
        """Return the ids that have no vector."""
        return [name for name in ids if tidied(name) not in self._rows]

    def of(self, ids: Ids) -> Vectors:
        """Return the vectors of ids that all have one, in their order."""
        return self.vectors[np.array([self._rows[tidied(name)] for name in ids.tolist()], np.int64)]

    def unknown(self, collection: Collection) -> list[str]:
        """Return the ids that no part of a data set has."""
        known = {tidied(name) for part in collection.parts().values() for name in part.ids.tolist()}
        return [name for name in self.ids if name not in known]

    def matched(self, dataset: Dataset, unknown: Sequence[str]) -> SetVectors:
        """Return a data set's vectors. unknown: what ``unknown`` found.

        Those of validation are there where all have one; else it is told that there will be no thresholds. Raises
        DataError where a query or an item of the gallery has none.
        """
        wanted = list(dict.fromkeys([*dataset.query.ids.tolist(), *dataset.gallery.ids.tolist()]))
        missing = self.missing(wanted)
        if missing:
            said = _counted(missing, wanted, "ids of queries and gallery")
            more = f"; {_counted(unknown, self.ids, 'ids of the file')} in no part of it" if unknown else ""
            raise DataError(f"{self.source}: {dataset.name} ({dataset.protocol}): {said} without a vector{more}")
        gallery = query = self.of(dataset.gallery.ids)
        if dataset.query is not dataset.gallery:
            query = self.of(dataset.query.ids)
        return SetVectors(query, gallery, self._of_sample(validation_sample(dataset, _SEED)))

    def _of_sample(self, sample: Split | None) -> Vectors | None:
        if sample is None:
            return None
        missing = self.missing(sample.ids.tolist())
        if missing:
            said = _counted(missing, sample.ids, "ids of validation")
            logger.warning("%s: %s without a vector: no thresholds are fitted", self.source, said)
        return None if missing else self.of(sample.ids)


def _counted(some: Sequence[str], of: Sequence[str] | Ids, what: str = "ids") -> str:
    """Return how many of some names there are, and the first, with the verb."""
    return f"{len(some):,} of {len(of):,} {what} (the first {some[0]!r}) {'is' if len(some) == 1 else 'are'}"


def score_given(
    given: GivenVectors, name: str, collection: Collection, cuts: Sequence[tuple[Dataset, Settings]], place: Workplace
) -> list[RunRecord]:
    """Make a finished run of vectors for each cut of a collection, a row called ``name``, and return the records.

    Raises DataError, before anything is written, where a query or an item of the gallery has no vector.
    """
    unknown = given.unknown(collection)
    matched = [(dataset, settings, given.matched(dataset, unknown)) for dataset, settings in cuts]
    if unknown:
        said = _counted(unknown, given.ids)
        logger.warning("%s: %s in no part of %s, and left out", given.source, said, collection.name)
    return [
        record_run(_spec(given, name, dataset, settings), _SEED, dataset, place, partial(_made, vectors=vectors))
        for dataset, settings, vectors in matched
    ]


def _spec(given: GivenVectors, name: str, dataset: Dataset, settings: Settings) -> RunSpec:
    return RunSpec(
        dataset=dataset.name,
        protocol=dataset.protocol.name,
        method=name,
        fingerprint=dataset.fingerprint,
        resize=dataset.resize,  # of the pictures that reports show; nobody knows what the model was given
        ks=settings.ks or dataset.ks,
        metrics=dataset.metrics,
        ties=settings.ties,
        data=data_choices(settings),
        sources={GIVEN: given.digest},
    )


def _made(run: Attempt, *, vectors: SetVectors) -> RunResult:
    scored = score_vectors(run, vectors, audited(run))
    return save_scored(run, scored, {}, flags=(UNKNOWN_ORIGIN,))
