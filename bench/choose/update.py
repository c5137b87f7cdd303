"""A folder that has changed since a method was chosen for it: what is new, what must be run anew, what has changed.

Every run has another gallery then, and so none of before counts. But not all must be run anew: a row that was so far
behind that the changed pictures cannot bring it ahead, were every one of them in its favour, stays out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.choose.climb import LeftOut
from bench.choose.rungs import LONGER_WORDS, Rung
from bench.choose.verdict import Verdict
from bench.contract import DAMAGED_ARRAYS, DataError, Dataset, UsageError
from bench.files import write_arrays
from bench.naming import first_few

CHOICE, PICTURES = "choice.json", "pictures.npz"  # in the folder of a choice


@dataclass(frozen=True)
class Known:
    """Which pictures a choice is made on: ``id -> digest`` of the file's bytes. asked: the ids that are queries."""

    digests: Mapping[str, bytes]
    asked: frozenset[str]

    @classmethod
    def of(cls, data: Dataset) -> Known | None:
        """Return those of a data set; None where they are no files."""
        digests: dict[str, bytes] = {}
        for part in (data.train, data.validation, data.gallery, data.query):
            files = part.images.files
            if files is None:
                return None
            contents = files.contents[part.images.rows]
            digests |= {str(one): row.tobytes() for one, row in zip(part.ids.tolist(), contents, strict=True)}
        return cls(digests, frozenset(map(str, data.query.ids.tolist())))

    def write(self, folder: Path) -> None:
        """Write them beside a choice."""
        ids = sorted(self.digests)
        arrays: dict[str, NDArray[Any]] = {
            "ids": np.array(ids, np.str_),
            "contents": np.frombuffer(b"".join(self.digests[one] for one in ids), np.uint8).reshape(len(ids), -1),
            "asked": np.array([one in self.asked for one in ids], np.bool_),
        }
        write_arrays(folder / PICTURES, arrays)

    @classmethod
    def read(cls, folder: Path) -> Known:
        """Read what ``write`` wrote. Raises DataError where it is damaged."""
        try:
            with np.load(folder / PICTURES, allow_pickle=False) as held:
                ids, contents, asked = held["ids"].tolist(), held["contents"], held["asked"].tolist()
        except DAMAGED_ARRAYS as error:
            raise DataError(f"{folder / PICTURES}: cannot be read; choose again without --update") from error
        digests = {one: row.tobytes() for one, row in zip(ids, contents, strict=True)}
        return cls(digests, frozenset(one for one, was in zip(ids, asked, strict=True) if was))


@dataclass(frozen=True)
class Update:
    """What was chosen, by its choice.json, and the pictures then and now."""

    old: Mapping[str, Any]
    then: Known
    now: Known

    @classmethod
    def since(cls, folder: Path, data: Dataset, limits: str) -> Update:
        """Return how a data set differs from the one that was chosen for in a folder.

        Raises UsageError where nothing was, or within other limits, or the pictures are no files.
        """
        now = Known.of(data)
        if now is None:
            raise UsageError(f"{data.name}: --update is for pictures in files; leave it out")
        if not ((folder / CHOICE).is_file() and (folder / PICTURES).is_file()):
            raise UsageError(f"{folder}: nothing was chosen there for these pictures yet; leave out --update")
        try:
            old = json.loads((folder / CHOICE).read_text(encoding="utf-8"))
        except ValueError as error:
            raise DataError(f"{folder / CHOICE}: cannot be read; choose again without --update") from error
        if old["limits"] != limits:
            words = [one or "no limit" for one in (old["limits"], limits)]
            raise UsageError(
                f"chosen then within {words[0]}, now within {words[1]}; give the same, or leave out --update"
            )
        return cls(old, Known.read(folder), now)

    @property
    def new(self) -> list[str]:
        return sorted(set(self.now.digests) - set(self.then.digests))

    @property
    def gone(self) -> list[str]:
        return sorted(set(self.then.digests) - set(self.now.digests))

    @property
    def changed(self) -> list[str]:
        """Ids whose files have other bytes now."""
        both = set(self.now.digests) & set(self.then.digests)
        return sorted(one for one in both if self.now.digests[one] != self.then.digests[one])

    @property
    def nothing(self) -> bool:
        """Whether all pictures are as they were, and the same ones are asked."""
        return self.then == self.now

    @property
    def in_words(self) -> str:
        """Which pictures are new, changed and gone."""
        parts = [
            f"{len(names):,} {what}{f' ({first_few(names)})' if names else ''}"
            for what, names in (("new", self.new), ("changed", self.changed), ("gone", self.gone))
        ]
        kept = len(self.now.digests) - len(self.new) - len(self.changed)
        return f"{kept:,} pictures kept, {', '.join(parts)}"

    def worst(self, behind: float) -> float:
        """Return how far behind a row must still be, at least, that was behind the best by so much of map.

        Worked out as if queries that are in both states kept their values, and all others were as much in the row's
        favour as can be: 1 to 0. Below 0 it may be ahead.
        """
        same = self.then.asked & self.now.asked - set(self.changed)
        before, after = len(same) / len(self.then.asked), len(same) / len(self.now.asked)
        return after / before * (behind - (1 - before)) - (1 - after) if same else -1.0

    def to_run(self, rungs: Sequence[Rung]) -> tuple[list[Rung], list[LeftOut]]:
        """Return what must be run anew, the best of then first, what was not tried last; and what need not, and why."""
        behind = self._behind(rungs)
        tied = {rung.words for rung in rungs if self._was_tied(rung)}
        need, rest = [], []
        for rung in rungs:
            apart = behind.get(rung.words)
            if apart is None or rung.words in tied or self.worst(apart) <= 0:
                need.append(rung)
            else:
                why = f"it was behind by {apart:.3f}, which the pictures that changed cannot make up for"
                rest.append(LeftOut(rung, 0, why))
        return sorted(need, key=lambda one: (one.words not in tied, behind.get(one.words, np.inf))), rest

    def outcome(self, verdict: Verdict) -> str:
        """Return whether the answer has changed, and how."""
        winner = verdict.rungs[verdict.winner.slug]
        old, place = self._winner, verdict.winner
        was, metric = float(old["map"]), place.metric.name
        now = f"{winner.words}: {metric} {was:.3f} then, {place.score:.3f} now"
        if _plainly(old["tried"]) == _plainly(winner.words):
            return f"The answer stands: {now}. The pictures differ, so that these two are no test of each other."
        told = (
            f"The answer has changed: then {old['tried']} ({metric} {was:.3f}), now {winner.words} ({place.score:.3f})."
        )
        if _plainly(old["tried"]) not in map(_plainly, (rung.words for rung in verdict.rungs.values())):
            return (
                f"Whether the answer stands is not known: {old['tried']} was the best then and was not run anew; of "
                f"what was, the best is {winner.words} ({metric} {place.score:.3f})."
            )
        tied = [_plainly(verdict.rungs[rival.row.slug].words) for rival in verdict.best.tied]
        return f"{told} The two cannot be told apart." if _plainly(old["tried"]) in tied else told

    @property
    def _winner(self) -> Mapping[str, Any]:
        """The row of then that was chosen."""
        found: Mapping[str, Any] = next(row for row in self.old["rows"] if row["runs"] == self.old["winner"]["runs"])
        return found

    def _rows_of(self, rung: Rung) -> list[Mapping[str, Any]]:
        return [row for row in self.old["rows"] if row["tried"] in (rung.words, rung.longer().words)]

    def _behind(self, rungs: Sequence[Rung]) -> dict[str, float]:
        """Return how far each rung was behind the best by map, by its words; without those that have no row."""
        best = max(float(row["map"]) for row in self.old["rows"])
        rows = {rung.words: self._rows_of(rung) for rung in rungs}
        return {words: best - max(float(row["map"]) for row in some) for words, some in rows.items() if some}

    def _was_tied(self, rung: Rung) -> bool:
        group = [self.old["winner"]["runs"], *self.old["tied"]]
        return any(row["runs"] in group for row in self._rows_of(rung))


def _plainly(words: str) -> str:
    """Return what was tried, however long it was trained."""
    return words.removesuffix(LONGER_WORDS)
