"""What a table answers: which row to use under which constraint, with the evidence, and what cannot be told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.contract import Baseline, DataError
from bench.evaluation.statistics.estimates import Measured
from bench.evaluation.statistics.paired_tests import Comparison, compare_with_best
from bench.report.tables.entries import Queries, entry_of
from bench.report.tables.frame import sum_over
from bench.report.tables.groups import Row, Table

FAST_MS = 10.0  # embedding one image and searching for it
_TIMES = ("embed_1_median_ms", "search_median_ms")
SMALL_BYTES = 1024  # a vector as it is kept: float32, no index


@dataclass(frozen=True)
class Rival:
    """Another row against a winner. behind, found: how far the winner is ahead; None where no test can be made."""

    row: Row
    behind: float
    found: Comparison | None

    @property
    def separable(self) -> bool:
        """Whether the two can be told apart at 5 %, corrected for all that the winner was compared with."""
        return self.found is not None and self.found.separable


class Paired:
    """The scores of a table's rows, by seed and group, read once; rows that were asked other queries are left untested.

    Values of what the table is ranked by, with their signs turned where less is better: more is always better here.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        self._values: dict[Row, Measured] = {}
        self.queries: Queries | None = None
        where = None
        for row in sorted(rows, key=lambda row: -row.merit):
            entry = entry_of(row.records)
            try:
                asked, values = entry.queries(), row.metric.sign * entry.measured(row.metric.name)
            except DataError:
                continue
            if self.queries is None:
                self.queries, where = asked, entry.where
            if asked.same_as(self.queries) and entry.where == where:
                self._values[row] = values
        self._rows = len(rows)
        self._known: dict[tuple[Row, tuple[Row, ...]], list[Rival]] = {}

    def rivals(self, winner: Row, others: Sequence[Row]) -> list[Rival]:
        """Return each of the others against the winner, in their order, corrected for the choice of the winner."""
        key = (winner, tuple(others))
        if key not in self._known:
            self._known[key] = self._compared(winner, others)
        return self._known[key]

    def _compared(self, winner: Row, others: Sequence[Row]) -> list[Rival]:
        tested: list[Row] = []
        found: list[Comparison] = []
        if self.queries is not None and winner in self._values:
            tested = [row for row in others if row in self._values]
            values = [-1 * self._values[row] for row in tested]  # the difference is the winner's less the other's
            found = compare_with_best(-1 * self._values[winner], values, self._rows)
        by_row = dict(zip(tested, found, strict=True))
        return [Rival(row, winner.merit - row.merit, by_row.get(row)) for row in others]


@dataclass(frozen=True)
class Question:
    """What is asked of a table: its words, which rows may answer, and what is told of the row that does.

    cost: what is limited, None for a row that it was not measured of, and its unit: told where no row may answer.
    """

    heading: str
    short: str
    fits: Callable[[Row], bool]
    detail: Callable[[Row], str] = lambda row: ""
    cost: Callable[[Row], float | None] = lambda row: None
    unit: str = ""


@dataclass(frozen=True)
class Answer:
    """The row with the best score among those that may answer.

    winner: None where no row may, and then nearest says why; rivals: the other rows that may, the best first; to_best:
    how far the best of all rows is ahead of the winner, None where the winner is the best.
    """

    question: Question
    winner: Row | None
    rivals: tuple[Rival, ...] = ()
    to_best: Rival | None = None
    nearest: str = ""

    @property
    def tied(self) -> tuple[Rival, ...]:
        """The rivals that were tested and cannot be told from the winner."""
        return tuple(rival for rival in self.rivals if rival.found is not None and not rival.separable)

    @property
    def beaten(self) -> tuple[Rival, ...]:
        """The rivals that can be told from the winner."""
        return tuple(rival for rival in self.rivals if rival.separable)

    @property
    def untested(self) -> tuple[Rival, ...]:
        """The rivals without values for every query."""
        return tuple(rival for rival in self.rivals if rival.found is None)


@dataclass(frozen=True)
class Training:
    """The best trained row against features that nothing was trained for. rival: the frozen row, less the trained."""

    trained: Row
    rival: Rival


@dataclass(frozen=True)
class TableAnswers:
    """Everything that is answered of one table."""

    table: Table
    queries: int | None
    answers: tuple[Answer, ...]
    training: Training | None


def answers_of(table: Table) -> TableAnswers:
    """Return what a table answers. Reads the per-query values of its runs."""
    rows = sorted(table.rows, key=lambda row: (-row.merit, row.slug))
    paired = Paired(rows)
    answers = tuple(_answer(question, rows, paired) for question in QUESTIONS)
    asked = None if paired.queries is None else len(paired.queries.ids)
    return TableAnswers(table, asked, answers, _training(rows, paired))


def latency(row: Row) -> float | None:
    """Return milliseconds to embed one image and to search the gallery for it, None where one was not measured."""
    return sum_over(row.frame, _TIMES)


def _answer(question: Question, rows: Sequence[Row], paired: Paired) -> Answer:
    fitting = [row for row in rows if question.fits(row)]
    if not fitting:
        return Answer(question, None, nearest=_nearest(question, rows))
    winner, *others = fitting
    ahead = paired.rivals(rows[0], rows[1:])
    to_best = next((rival for rival in ahead if rival.row is winner), None)
    return Answer(question, winner, tuple(paired.rivals(winner, others)), to_best)


def _nearest(question: Question, rows: Sequence[Row]) -> str:
    """Return why no row answers a question."""
    known = [(cost, row) for row in rows if (cost := question.cost(row)) is not None]
    if not known:
        return "no row fulfils it"
    cost, row = min(known, key=lambda pair: pair[0])
    return f"no row fulfils it; the nearest, `{row.name}`, takes {cost:,.4g} {question.unit}"


def _training(rows: Sequence[Row], paired: Paired) -> Training | None:
    """Return the best trained row against the best of frozen features, else the best that trains nothing."""
    trained = [row for row in rows if row.trained]
    plain = [row for row in rows if not row.trained]
    frozen = [row for row in plain if row.baseline is Baseline.FROZEN] or plain
    if not trained or not frozen:
        return None
    return Training(trained[0], paired.rivals(trained[0], frozen[:1])[0])


def _below(value: float | None, limit: float) -> bool:
    return value is not None and value < limit


def _on_cpu(row: Row) -> bool:
    return all(device == "cpu" for device in row.frame["device"])


def _latency_words(row: Row) -> str:
    embed, search = (row.mean(name) or 0.0 for name in _TIMES)
    machines = sorted({str(cpu) for cpu in row.frame["cpu"]})
    threads = sorted({int(count) for count in row.frame["threads"]})
    return (
        f"{embed + search:.2f} ms an image: {embed:.2f} to embed, {search:.2f} to search; {' and '.join(machines)}, "
        f"{' and '.join(map(str, threads))} {'thread' if threads == [1] else 'threads'}"
    )


QUESTIONS = (
    Question("Best quality", "best", lambda row: True),
    Question(
        f"Best on a CPU under {FAST_MS:g} ms",
        f"CPU, < {FAST_MS:g} ms",
        lambda row: _on_cpu(row) and _below(latency(row), FAST_MS),
        _latency_words,
        lambda row: latency(row) if _on_cpu(row) else None,
        "ms",
    ),
    Question(
        "Best under 1 KB an image",
        "< 1 KB an image",
        lambda row: _below(row.mean("bytes_per_vector"), SMALL_BYTES),
        lambda row: f"{row.mean('bytes_per_vector'):,.0f} bytes a vector",
        lambda row: row.mean("bytes_per_vector"),
        "bytes",
    ),
    Question("Best without labels", "no labels", lambda row: not row.uses_labels),
)
