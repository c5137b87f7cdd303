"""What a table answers: which row to use under which constraint, with the evidence, and what cannot be told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.contract import Baseline, DataError
from bench.evaluation.metrics.metric import Metric
from bench.evaluation.metrics.registry import describe
from bench.evaluation.statistics.estimates import Measured
from bench.evaluation.statistics.paired_tests import Comparison, compare_with_best
from bench.report.tables.draws import compared_in_draws
from bench.report.tables.entries import Queries, entry_of
from bench.report.tables.footnotes import busy
from bench.report.tables.frame import draws_of
from bench.report.tables.groups import Row, Table
from bench.report.tables.pooled_latency import POOLED
from bench.report.tables.wording import many

FAST_MS = 10.0  # embedding one image and searching for it
_SEEN_FIRST = ("map", "map@10", "hit@1")  # the whole ranking, and what a user sees of it
SMALL_BYTES = 1024  # a vector as it is kept: float32, no index


@dataclass(frozen=True)
class Rival:
    """Another row against a winner. behind, found: how far the winner is ahead; None where no test can be made."""

    row: Row
    behind: float
    found: Comparison | None

    @property
    def separable(self) -> bool:
        """Whether the two can be told apart at 5 %, corrected for the choice of the winner."""
        return self.found is not None and self.found.separable


class Paired:
    """The scores of a table's rows, by seed and group, read once; rows that were asked other queries are left untested.

    Values of a metric, by default what the table is ranked by, with their signs turned where less is better: more is
    always better here.
    """

    def __init__(self, rows: Sequence[Row], metric: Metric | None = None) -> None:
        self._metric = metric
        self._drawn = any(draws_of(row.frame) > 1 for row in rows)
        self._values: dict[Row, Measured] = {}
        self.queries: Queries | None = None
        where = None
        for row in sorted(rows, key=lambda row: -row.merit):
            entry = entry_of(row.records[:1] if self._drawn else row.records)  # a draw's queries are no other's
            try:
                judged = metric or row.metric
                asked, values = entry.queries(), judged.sign * entry.measured(judged.name)
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
        if self._drawn:
            best, *entries = (entry_of(row.records) for row in (winner, *others))
            drawn = compared_in_draws(best, entries, self._metric or winner.metric)
            ahead = (self._merit(winner) - self._merit(row) for row in others)
            return [Rival(*one) for one in zip(others, ahead, drawn, strict=True)]
        tested: list[Row] = []
        found: list[Comparison] = []
        if self.queries is not None and winner in self._values:
            tested = [row for row in others if row in self._values]
            values = [-1 * self._values[row] for row in tested]  # the difference is the winner's less the other's
            found = compare_with_best(-1 * self._values[winner], values, self._rows)
        by_row = dict(zip(tested, found, strict=True))
        return [Rival(row, self._merit(winner) - self._merit(row), by_row.get(row)) for row in others]

    def _merit(self, row: Row) -> float:
        if self._metric is None:
            return row.merit
        mean = row.mean(self._metric.name)
        return float("nan") if mean is None else self._metric.sign * mean


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
    """The best trained row against features that nothing was trained for.

    rival: the frozen row, and how far the trained one is ahead of it; elsewhere: the same two rows by map, map@10 and
    hit@1, as far as the runs have them and the table is not ranked by them.
    """

    trained: Row
    rival: Rival
    elsewhere: tuple[tuple[Metric, Rival], ...] = ()

    @property
    def verdict(self) -> str:
        """Whether training is "better" or "worse", or it "cannot be told"."""
        return verdict_of(self.rival)

    @property
    def otherwise(self) -> tuple[tuple[Metric, Rival], ...]:
        """The metrics by which the verdict is another one."""
        return tuple((metric, rival) for metric, rival in self.elsewhere if verdict_of(rival) != self.verdict)


def verdict_of(rival: Rival) -> str:
    """Return whether the row that a rival is compared with is "better" or "worse", or it "cannot be told"."""
    return "cannot be told" if not rival.separable else "better" if rival.behind > 0 else "worse"


@dataclass(frozen=True)
class TableAnswers:
    """Everything that is answered of one table."""

    table: Table
    queries: int | None
    answers: tuple[Answer, ...]
    training: Training | None


def answers_of(table: Table, questions: Sequence[Question] | None = None) -> TableAnswers:
    """Return what a table answers, of the usual questions or others. Reads the per-query values of its runs."""
    rows = sorted(table.rows, key=lambda row: (-row.merit, row.slug))
    paired = Paired(rows)
    answers = tuple(_answer(question, rows, paired) for question in questions or QUESTIONS)
    asked = None if paired.queries is None else len(paired.queries.ids)
    return TableAnswers(table, asked, answers, _training(rows, paired))


def latency(row: Row) -> float | None:
    """Return milliseconds to embed one image and to search the gallery for it, None where one was not measured.

    Medians over all runs of the same network: rows that compute the same are under a limit together, or above it.
    """
    return row.mean("query_ms")


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
    """Return the best trained row against the best of frozen features, else the best that trains nothing.

    Of vectors that were made elsewhere nobody knows which they are.
    """
    known = [row for row in rows if not row.first.result.spec.given_vectors]
    trained = [row for row in known if row.trained]
    plain = [row for row in known if not row.trained]
    frozen = [row for row in plain if row.baseline is Baseline.FROZEN] or plain
    if not trained or not frozen:
        return None
    elsewhere = []
    for metric in (describe(name) for name in _SEEN_FIRST if name != trained[0].metric.name):
        if all(row.mean(metric.name) is not None for row in (trained[0], frozen[0])):
            rival = Paired((trained[0], frozen[0]), metric).rivals(trained[0], frozen[:1])[0]
            elsewhere += [(metric, rival)] if rival.found is not None else []
    return Training(trained[0], paired.rivals(trained[0], frozen[:1])[0], tuple(elsewhere))


def _below(value: float | None, limit: float) -> bool:
    return value is not None and value < limit


def _on_cpu(row: Row) -> bool:
    return all(device == "cpu" for device in row.frame["device"])


def _latency_words(row: Row) -> str:
    embed, search = (row.mean(name) or 0.0 for name in POOLED)
    runs, timed = int(row.mean("latency_runs") or 0), busy(row.frame)
    pooled = f", the median of {many(runs, 'run')} of this network" if runs > len(row.records) else ""
    machines = sorted({str(cpu) for cpu in row.frame["cpu"]})
    threads = sorted({int(count) for count in row.frame["threads"]})
    return (
        f"{embed + search:.2f} ms an image: {embed:.2f} to embed{pooled}, {search:.2f} to search; "
        f"{' and '.join(machines)}, {' and '.join(map(str, threads))} {'thread' if threads == [1] else 'threads'}"
        + (f"; {timed}" if timed else "")
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
