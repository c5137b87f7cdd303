"""Label-budget curves: map against labels a class, made from run folders alone."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator

from bench.contract import DataError, to_jsonable
from bench.evaluation.statistics.estimates import Estimate, estimate
from bench.report.figures.style import Drawn, draw_band, finish, style
from bench.report.tables.entries import entry_of
from bench.report.tables.frame import row_names
from bench.report.tables.wording import choices_in_words, markdown_table, unscored_queries
from bench.runs.artifacts import PER_QUERY, read_arrays
from bench.runs.store import RunRecord

_LOG = logging.getLogger(__name__)
_METRICS = ("map", "hit@1")
_BUDGET = "labels_per_class"
_CLOSE = 1.3  # times: labels of the axis nearer than that would touch


@dataclass(frozen=True)
class LabelPoint:
    """A method under one label budget. labels: a class, None for all; at: how many there are, on the mean of classes.

    scores: by metric; learnt, checked: images of train and of validation.
    """

    labels: int | None
    at: float
    scores: Mapping[str, Estimate]
    seeds: int
    learnt: int
    checked: int

    @property
    def name(self) -> str:
        return "all" if self.labels is None else str(self.labels)


@dataclass(frozen=True)
class LabelPanel:
    """All curves over one test: the same queries and gallery, and the same choice of data but for the budget.

    unscored: what is to be said of queries with nothing to find.
    """

    dataset: str
    protocol: str
    data: Mapping[str, Any]
    test: str
    curves: Mapping[str, Sequence[LabelPoint]]
    unscored: str = ""

    @property
    def words(self) -> list[str]:
        return [self.dataset, self.protocol, *choices_in_words(self.data)]

    @property
    def title(self) -> str:
        return " · ".join(self.words)

    @property
    def budgets(self) -> dict[str, float]:
        """Where each budget stands on the axis, by its name, in rising order."""
        found = {point.name: point for points in self.curves.values() for point in points}
        ordered = sorted(found.values(), key=lambda point: (point.labels is None, point.labels))
        return {point.name: point.at for point in ordered}


def label_panels(records: Sequence[RunRecord]) -> list[LabelPanel]:
    """Return the curves of all methods that have a run with a label budget; their runs with all labels are the end.

    A run whose replicates are gone is left out with a warning.
    """
    lines: dict[str, list[RunRecord]] = defaultdict(list)
    for record in records:
        if record.status == "done":
            lines[_line(record)].append(record)
    panels: dict[tuple[str, str], dict[str, list[RunRecord]]] = defaultdict(lambda: defaultdict(list))
    for line, runs in lines.items():
        if any(_labels(run) is not None for run in runs):
            for run in runs:
                try:
                    for metric in _METRICS:
                        entry_of([run]).measured(metric)
                    panels[_test(run), _choice(run)][line].append(run)
                except DataError as error:
                    _LOG.warning("left out of the label budgets: %s", error)
    found = [_panel(test, runs) for (test, _), runs in panels.items()]
    return sorted(found, key=lambda panel: (panel.title, panel.test))


def label_rows(panel: LabelPanel) -> list[dict[str, Any]]:
    """Return one row a method and budget."""
    return [
        {
            "dataset": panel.dataset,
            "protocol": panel.protocol,
            "data": json.dumps(panel.data, sort_keys=True),
            "method": name,
            _BUDGET: point.name,
            "train_images": point.learnt,
            "validation_images": point.checked,
            "seeds": point.seeds,
            **{
                f"{metric}{ending}": round(value, 6)
                for metric, score in point.scores.items()
                for ending, value in (
                    ("", score.mean),
                    ("_ci95_low", score.low),
                    ("_ci95_high", score.high),
                    ("_sd", score.spread),
                )
            },
        }
        for name, points in panel.curves.items()
        for point in points
    ]


def label_text(panel: LabelPanel) -> str:
    """Return a panel as Markdown: one table a metric."""
    parts = [f"## {panel.title}"]
    for metric in _METRICS:
        rows = []
        for name, points in panel.curves.items():
            cells = {point.name: str(point.scores[metric]) for point in points}
            rows.append([name, *(cells.get(budget, "-") for budget in panel.budgets)])
        parts += ["", markdown_table([f"{metric} ↑", *panel.budgets], rows, "lr")]
    counts = sorted({point.seeds for points in panel.curves.values() for point in points})
    seeds = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    told = [f"Columns: labels a class. Seeds of training in a cell: {seeds}.", panel.unscored]
    return "\n".join([*parts, *(line for text in told if text for line in ("", text))])


def draw_labels(panel: LabelPanel, slug: str) -> Drawn:
    """Return map against labels a class, a line a method with its band of 95 %; lone points are left out."""
    with style():
        figure = Figure(figsize=(7, 4.2), layout="constrained")
        axes = figure.subplots()
        drawn = {name: points for name, points in panel.curves.items() if len(points) > 1} or panel.curves
        for number, (name, points) in enumerate(drawn.items()):
            scores = [point.scores["map"] for point in points]
            draw_band(axes, [point.at for point in points], scores, number, name, mark=4)
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xticks(*zip(*_ticks(panel.budgets), strict=True))
        axes.set(xlabel="labels a class", ylabel="map", title=panel.title)
        figure.legend(loc="outside right upper")
        told = "map against labels a class; bands: 95 % intervals, seeds and images (or classes) drawn anew"
        return finish(figure, slug, alt=f"{panel.title}: {told}", caption=told)


def _ticks(budgets: Mapping[str, float]) -> list[tuple[float, str]]:
    """Return where the axis is labelled, and how; budgets that lie too close together share a label."""
    found: list[tuple[float, str]] = []
    for name, at in budgets.items():
        told = f"all\n({at:,.0f})" if name == "all" else name
        if found and at < _CLOSE * found[-1][0]:
            told = f"{found.pop()[1]}, {told}"
        found.append((at, told))
    return found


def _panel(test: str, lines: Mapping[str, Sequence[RunRecord]]) -> LabelPanel:
    names = row_names({line: runs[0] for line, runs in lines.items()})
    first = next(iter(lines.values()))[0]
    curves = {names[line]: _points(runs) for line, runs in lines.items()}
    ordered = dict(sorted(curves.items(), key=lambda pair: (-pair[1][-1].at, -pair[1][-1].scores["map"].mean)))
    told = unscored_queries(read_arrays(first, PER_QUERY, "map")["map"])
    return LabelPanel(first.result.dataset, first.result.protocol, json.loads(_choice(first)), test, ordered, told)


def _points(runs: Sequence[RunRecord]) -> list[LabelPoint]:
    by_budget: dict[int | None, list[RunRecord]] = defaultdict(list)
    for run in runs:
        by_budget[_labels(run)].append(run)
    points = []
    for labels, same in by_budget.items():
        counts = same[0].result.data.counts
        entry = entry_of(same)
        scores = {metric: estimate(entry.measured(metric)) for metric in _METRICS}
        at = (counts["train"] + counts["validation"]) / _classes(same[0])
        points.append(LabelPoint(labels, at, scores, len(same), counts["train"], counts["validation"]))
    return sorted(points, key=lambda point: (point.labels is None, point.labels))


def _classes(run: RunRecord) -> int:
    """Return how many classes a run learnt from."""
    data = run.result.data
    return len(data.learnt_classes) if data.learnt_classes else data.classes


def _labels(run: RunRecord) -> int | None:
    budget = run.result.spec.data.get(_BUDGET)
    return None if budget is None else int(budget)


def _choice(run: RunRecord) -> str:
    data = run.result.spec.data
    return json.dumps({name: value for name, value in data.items() if name != _BUDGET}, sort_keys=True)


def _line(run: RunRecord) -> str:
    """Return what all runs of one curve share."""
    spec = to_jsonable(run.result.spec)
    names = ("dataset", "protocol", "method", "options", "budget", "device", "ties", "ks", "engine", "mirror_test")
    return json.dumps([_choice(run), *(spec[name] for name in names)], sort_keys=True)


def _test(run: RunRecord) -> str:
    """Return a digest of who was asked and who answered: fingerprints also hold what was learnt from."""
    kept = read_arrays(run, PER_QUERY, "ids", "labels", "gallery_ids", "gallery_labels")
    whole = hashlib.sha256(f"{run.result.dataset} {run.result.protocol}".encode())
    for name in ("ids", "labels", "gallery_ids", "gallery_labels"):
        whole.update("\n".join(map(str, kept[name].tolist())).encode("utf-8", "surrogatepass"))
    return whole.hexdigest()
