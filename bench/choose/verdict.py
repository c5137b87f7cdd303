"""What was found: which row to use, how sure that is, what it costs, what it gets wrong, what was left out."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bench.choose.climb import Climb, LeftOut, Result
from bench.choose.rungs import Rung
from bench.choose.workshop import table_of
from bench.contract import DataError, Dataset
from bench.report.recommend.answers import Answer, Question, Training, answers_of, latency
from bench.report.tables.groups import Row, Table, read_answers
from bench.report.tables.wording import plain
from bench.runs.store import RunRecord

_CONFUSED = 3  # pairs of classes that are named


@dataclass(frozen=True)
class Facts:
    """What the pictures are: counts, how many classes, and the labelled pictures of the middle class to learn from."""

    name: str
    protocol: str
    classes: int
    learnt: int
    asked: int
    searched: int
    a_class: int
    seen: bool | None

    @classmethod
    def of(cls, data: Dataset) -> Facts:
        labels = np.concatenate([data.train.labels, data.validation.labels])
        counts = np.bincount(labels)
        return cls(
            data.name,
            str(data.protocol),
            len({*data.query.labels.tolist(), *data.gallery.labels.tolist()}),
            len(labels),
            len(data.query),
            len(data.gallery),
            int(np.median(counts[counts > 0])) if len(labels) else 0,
            data.seen_classes if len(labels) else False,
        )


@dataclass(frozen=True)
class Mistakes:
    """What a row's first run gets wrong by its nearest neighbour. confused: (asked, found instead, how often)."""

    wrong: int
    asked: int
    confused: tuple[tuple[str, str, int], ...]


@dataclass(frozen=True)
class Verdict:
    """The outcome of a choice so far.

    limits: what the row must keep to, in words, empty for nothing; best: the best of those that do; free: the best of
    all rows, where it is another; rungs: what each row is, by its slug.
    """

    facts: Facts
    limits: str
    table: Table
    best: Answer
    free: Row | None
    training: Training | None
    mistakes: Mistakes | None
    rungs: Mapping[str, Rung]
    left_out: tuple[LeftOut, ...]
    spent: float
    budget: float

    @property
    def winner(self) -> Row:
        """The row to use: of what keeps to the limits, else of all."""
        return self.best.winner or self.table.rows[0]

    @property
    def keeps(self) -> bool:
        """Whether any row keeps to the limits."""
        return self.best.winner is not None

    @property
    def cheaper(self) -> Row | None:
        """The fastest to train of the rows that cannot be told from the winner, where that is another one."""
        tied = [self.winner, *(rival.row for rival in self.best.tied)]
        quickest = min(tied, key=lambda row: row.mean("fit_seconds") or 0.0)
        return None if quickest is self.winner else quickest


def verdict_of(climb: Climb, data: Dataset, question: Question, limits: str) -> Verdict:
    """Return what the runs so far say. Raises DataError where there is none."""
    if not climb.results:
        why = f": {climb.left_out[0].rung.method}: {climb.left_out[0].why}" if climb.left_out else ""
        raise DataError(f"nothing finished within the budget{why}; give more time (--budget 30m)")
    table = table_of(climb.records)
    found = answers_of(table, [question])
    (best,) = found.answers
    winner = best.winner or table.rows[0]
    top = max(table.rows, key=lambda row: row.merit)
    return Verdict(
        Facts.of(data),
        limits,
        table,
        best,
        None if top is winner else top,
        found.training,
        _mistakes(winner.first),
        _rungs(table, climb.results),
        tuple(climb.left_out),
        climb.budget - climb.left,
        climb.budget,
    )


def within(most_ms: float | None, most_bytes: int | None) -> tuple[Question, str]:
    """Return the question for the best row below these limits, and the limits in words."""

    def fits(row: Row) -> bool:
        ms, size = latency(row), row.mean("bytes_per_vector")
        slow = most_ms is not None and (ms is None or ms > most_ms)
        return not slow and not (most_bytes is not None and (size is None or size > most_bytes))

    words = [f"{most_ms:g} ms an image"] if most_ms is not None else []
    words += [f"{most_bytes:,} bytes a vector"] if most_bytes is not None else []
    cost, unit = (latency, "ms") if most_ms is not None else (lambda row: row.mean("bytes_per_vector"), "bytes")
    return Question("Best", "best", fits, cost=cost, unit=unit), " and ".join(words)


def command(verdict: Verdict, row: Row, word: str) -> str:
    """Return the command that makes a row's runs again. word: what stands for the data."""
    result, rung = row.first.result, verdict.rungs[row.slug]
    seeds = sorted({record.result.seed for record in row.records})
    words = ["simbench", "run", "-m", result.method, "-d", word, "--protocol", result.protocol]
    words += [part for name, value in rung.options.items() for part in ("-o", f"{name}={plain(value)}")]
    words += [*(["--epochs", plain(rung.epochs)] if rung.learns else []), "--seeds", ",".join(map(str, seeds))]
    return shlex.join(words)


def _rungs(table: Table, results: list[Result]) -> dict[str, Rung]:
    rungs = {one.record.folder: one.rung for one in results}
    return {row.slug: rungs[row.first.folder] for row in table.rows}


def _mistakes(record: RunRecord) -> Mistakes | None:
    try:
        found = read_answers(record)
    except DataError:
        return None
    if found.positives is not None:  # labels are no mistakes there
        return None
    nearest = found.neighbors[:, 0]
    known = (nearest >= 0) & ~np.isnan(found.precision)
    asked, given = found.labels[known], found.gallery_labels[nearest[known]]
    wrong = asked != given
    pairs = Counter(zip(asked[wrong].tolist(), given[wrong].tolist(), strict=True))
    names = found.classes
    most = [(names[one], names[other], count) for (one, other), count in pairs.most_common(_CONFUSED)]
    return Mistakes(int(wrong.sum()), int(known.sum()), tuple(most))
