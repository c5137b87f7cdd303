"""Runs as the page shows them: a table for each data set, protocol and revision, a row for each method and setting."""

from __future__ import annotations

import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.contract import Baseline, DataError
from bench.evaluation.metrics.metric import Metric
from bench.evaluation.ranking.arrays import Floats, Ints, Neighbors, Scores
from bench.evaluation.ranking.lists import Lists
from bench.report.tables.draws import undrawn_specs
from bench.report.tables.entries import entry_of
from bench.report.tables.footnotes import busy, queries, shared_notes, threads
from bench.report.tables.frame import mean_over, merit, metric_of, row_interval
from bench.report.tables.leaderboard import groups_of, ranked_rows
from bench.report.tables.wording import row_labels
from bench.runs.artifacts import PER_QUERY, SAMPLES, read_arrays
from bench.runs.ranked import read_lists
from bench.runs.store import RunRecord


@dataclass(frozen=True)
class Answers:
    """One run's answers: a row a query.

    ids ``(q,)``, labels int64 ``(q,)``, precision float64 ``(q,)``: average precision, NaN where nothing is relevant;
    neighbors int32 and similarities float32 ``(q, K)``: gallery positions best first, -1 past the end; gallery_ids and
    gallery_labels ``(n,)``; classes: the names that labels stand for. positives: where lists say what answers a query,
    each one's gallery positions; None: labels say it. hidden: what a query does not see, if more than itself.
    """

    ids: NDArray[Any]
    labels: Ints
    precision: Floats
    neighbors: Neighbors
    similarities: Scores
    gallery_ids: NDArray[Any]
    gallery_labels: Ints
    classes: tuple[str, ...]
    positives: Lists | None = None
    hidden: Lists | None = None

    def seen(self, queries: Ints, items: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Return which items are ranked for which queries, pair by pair, bool ``(k,)``; a query's own image is not."""
        ranked: NDArray[np.bool_] = items != self.own_items()[queries]
        return ranked if self.hidden is None else ranked & (self.hidden.place(queries, items) < 0)

    def right(self, queries: Ints, items: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Return which items answer which queries, pair by pair, bool ``(k,)``."""
        if self.positives is not None:
            return self.positives.place(queries, items) >= 0
        same: NDArray[np.bool_] = self.labels[queries] == self.gallery_labels[items]
        return same

    def same_questions(self, other: Answers) -> bool:
        """Whether both were asked the same queries in the same order, of the same gallery."""
        return np.array_equal(self.ids, other.ids) and np.array_equal(self.gallery_ids, other.gallery_ids)

    def own_items(self) -> Ints:
        """Return each query's own position in the gallery, int64 ``(q,)``, -1 where it is not in it."""
        order = np.argsort(self.gallery_ids)
        sought = np.searchsorted(self.gallery_ids, self.ids, sorter=order)
        found = order[np.minimum(sought, len(order) - 1)]
        return np.where(self.gallery_ids[found] == self.ids, found, -1).astype(np.int64)


def read_answers(record: RunRecord) -> Answers:
    """Read a run's ``per_query.npz``. Raises DataError where it is missing or damaged."""
    names = ("ids", "labels", "map", "neighbors", "similarities", "gallery_ids", "gallery_labels", "classes")
    kept = read_arrays(record, PER_QUERY, *names)
    if not _fit(kept):
        raise DataError(f"cannot read {record.folder / PER_QUERY}: its arrays do not fit each other")
    lists = read_lists(record)
    return Answers(
        ids=kept["ids"],
        labels=kept["labels"].astype(np.int64),
        precision=kept["map"].astype(np.float64),
        neighbors=kept["neighbors"],
        similarities=kept["similarities"],
        gallery_ids=kept["gallery_ids"],
        gallery_labels=kept["gallery_labels"].astype(np.int64),
        classes=tuple(str(name) for name in kept["classes"]),
        positives=lists.get("positives"),
        hidden=lists.get("hidden"),
    )


def _fit(kept: Mapping[str, NDArray[Any]]) -> bool:
    """Whether a run's arrays have the shapes and the numbers that its answers are read by."""
    q, n, shape = len(kept["ids"]), len(kept["gallery_ids"]), kept["neighbors"].shape
    shapes = {"labels": (q,), "map": (q,), "gallery_labels": (n,), "similarities": shape}
    if len(shape) != 2 or shape[0] != q or any(kept[name].shape != one for name, one in shapes.items()):
        return False
    ends = {"labels": (0, len(kept["classes"])), "gallery_labels": (0, len(kept["classes"])), "neighbors": (-1, n)}
    whole = all(kept[name].dtype.kind in "iu" for name in ends) and kept["map"].dtype.kind == "f"
    return whole and all(
        kept[name].size == 0 or (low <= kept[name].min() and kept[name].max() < high)
        for name, (low, high) in ends.items()
    )


def read_samples(record: RunRecord) -> dict[str, NDArray[Any]] | None:
    """Read a run's ``samples.npz``: originals, decoded, cosines, labels, ids; None where the method does not decode."""
    return read_arrays(record, SAMPLES) if SAMPLES in record.result.files else None


@dataclass(frozen=True, eq=False)  # a row is itself: its frame is not to be compared
class Row:
    """One method with one setting: its finished runs by draw and seed, and their rows of the table of runs.

    slug: its anchor on the page and the stem of its figures' names; rank: 1 is shared by all that cannot be told apart
    from the best.
    """

    slug: str
    name: str
    records: tuple[RunRecord, ...]
    frame: pd.DataFrame

    @property
    def first(self) -> RunRecord:
        """The run that pictures and plots of single runs are made from: the lowest seed."""
        return self.records[0]

    @property
    def rank(self) -> int:
        return int(self.frame["rank"].iloc[0])

    @property
    def trained(self) -> bool:
        return self.first.result.trained

    @property
    def uses_labels(self) -> bool:
        """Whether its method looks at labels."""
        return self.first.result.uses_labels

    @property
    def baseline(self) -> Baseline | None:
        """What kind of baseline its method is, None for a contestant."""
        said = self.frame["baseline"].iloc[0]
        return Baseline(said) if isinstance(said, str) else None  # pandas: not None but NaN

    @property
    def metric(self) -> Metric:
        """What it is ranked by."""
        return metric_of(self.frame)

    @property
    def score(self) -> float:
        """Its mean of that metric over seeds; NaN where it has none."""
        found = self.mean(self.metric.name)
        return float("nan") if found is None else found

    @property
    def merit(self) -> float:
        """Its score, the larger the better; minus infinity where it has none."""
        return merit(self.frame)

    def mean(self, column: str) -> float | None:
        """Return a column's mean over seeds, None where no run has it."""
        return mean_over(self.frame, column)

    def interval(self, metric: str) -> tuple[float, float] | None:
        """Return the 95 % interval over queries and seeds; the first run's own where there is none over seeds."""
        return row_interval(self.frame, metric)


@dataclass(frozen=True)
class Table:
    """Runs that may be compared: one data set, one protocol, one revision of the data.

    rows: the best first; queries: how many of them were scored, in words; metric: what they are ranked by.
    """

    slug: str
    title: str
    dataset: str
    protocol: str
    rows: tuple[Row, ...]
    failed: tuple[RunRecord, ...]
    queries: str
    notes: tuple[str, ...]
    metric: Metric

    @property
    def every_row(self) -> tuple[str, ...]:
        """What must be known of all rows alike: said once, and no more of each."""
        return shared_notes(row.frame for row in self.rows)

    @property
    def seen_classes(self) -> bool | None:
        """Whether all classes asked for were learnt, or none was; None for some, and where rows differ."""
        firsts = (row.frame["seen_classes"].iloc[0] for row in self.rows)
        said = {None if pd.isna(one) else bool(one) for one in firsts}
        return said.pop() if len(said) == 1 else None

    @property
    def tied(self) -> tuple[Row, ...]:
        """The rows that share rank 1."""
        return tuple(row for row in self.rows if row.rank == 1)


def tables_of(records: Sequence[RunRecord], frame: pd.DataFrame) -> list[Table]:
    """Return the tables in the order of their data sets. frame: ``runs_frame`` of the same records."""
    by_place, undrawn = defaultdict(list), undrawn_specs(records)
    for record in sorted(records, key=lambda record: record.folder):
        run, spec = record.result, undrawn.get(record.folder)
        revision, key = (run.spec.fingerprint, run.key) if spec is None else (spec.fingerprint, spec.key)
        by_place[run.dataset, run.protocol, revision].append((key, record))
    revisions = Counter(place[:2] for place in by_place)
    slugs = Counter(slug_of(" ".join(names)) for names in revisions)
    found = []
    for title, group in groups_of(frame):
        dataset, protocol, revision = place = tuple(group[["dataset", "protocol", "dataset_revision"]].iloc[0])
        names = f"{dataset} {protocol}"
        slug = slug_of(f"{names} {revision[:8]}" if revisions[dataset, protocol] > 1 else names)
        if slugs[slug_of(names)] > 1:  # letters that leave no trace in a slug: two data sets may share one
            slug += f"-{zlib.crc32(names.encode()):08x}"
        found.append(_table(slug, title, by_place[place], group))
    return found


def slug_of(text: str) -> str:
    """Return a text as an anchor and a file's name: letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9_]+", "-", text.lower()).strip("-")


def _table(slug: str, title: str, found: Sequence[tuple[str, RunRecord]], frame: pd.DataFrame) -> Table:
    records = [record for _, record in found]
    rows = _rows(slug, found, frame)
    told = {str(text) for row in rows for text in row.frame["rank_note"] if text}
    notes = sorted(told | {"; ".join(texts) for row in rows for texts in row.frame["leaks"] if texts})
    notes += [text for text in [busy(frame), threads(frame)] if text]
    failed = tuple(record for record in records if record.status != "done")
    dataset, protocol, _ = records[0].result.place
    return Table(slug, title, dataset, protocol, tuple(rows), failed, queries(frame), tuple(notes), metric_of(frame))


def _rows(slug: str, found: Sequence[tuple[str, RunRecord]], frame: pd.DataFrame) -> list[Row]:
    names = row_labels(frame[frame["status"] == "done"])
    rows = []
    for (method, key), runs in ranked_rows(frame):
        done = [record for mine, record in found if mine == key and record.status == "done"]
        records = entry_of([record for record in done if record.result.method == method]).runs
        rows.append(Row(f"{slug}-{slug_of(method)}-{key}", names[method, key], records, runs.sort_values("seed")))
    return sorted(rows, key=lambda row: (row.rank, -row.merit))
