"""The robustness sweeps of all runs: what corrupted queries leave of map, as tables and curves."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.contract import DataError
from bench.evaluation.ranking.arrays import Floats
from bench.evaluation.statistics.estimates import Estimate, estimate, of_queries
from bench.report.figures.style import Drawn, draw_band, finish, style
from bench.report.tables.frame import row_names
from bench.report.tables.wording import choices_in_words, markdown_table, unscored_queries
from bench.runs.artifacts import PER_QUERY, read_arrays
from bench.runs.robustness import METRICS, read_robustness, read_values
from bench.runs.store import RunRecord

_LOG = logging.getLogger(__name__)
_COLUMNS = 3  # of small multiples


@dataclass(frozen=True)
class RobustnessRow:
    """A method and its seeds. scores: by ``clean/map``, ``blur-1/map``, ``blur/drop/map``, ``mean/drop/map``, ..."""

    name: str
    seeds: int
    scores: Mapping[str, Estimate]


@dataclass(frozen=True)
class RobustnessPanel:
    """All swept methods on one test. corruptions: the severities of each, by its name; rows: by falling mean map.

    unscored: what is to be said of queries with nothing to find.
    """

    dataset: str
    protocol: str
    data: Mapping[str, Any]
    fingerprint: str
    corruptions: Mapping[str, Sequence[int]]
    rows: Sequence[RobustnessRow]
    unscored: str = ""

    @property
    def words(self) -> list[str]:
        return [self.dataset, self.protocol, *choices_in_words(self.data)]

    @property
    def title(self) -> str:
        return " · ".join(self.words)


@dataclass(frozen=True)
class Swept:
    """A run, its robustness.json, and the values behind it: of its clean queries, and of all conditions."""

    record: RunRecord
    found: Mapping[str, Any]
    clean: Mapping[str, Any]
    corrupted: Mapping[str, Any]

    @classmethod
    def of(cls, record: RunRecord) -> Swept | None:
        found = read_robustness(record) if record.status == "done" else None
        if found is None:
            return None
        wanted = [f"{one['corruption']}-{one['severity']}/{m}" for one in found["conditions"] for m in METRICS]
        clean = read_arrays(record, PER_QUERY, "labels", *METRICS)
        corrupted = read_values(record, found, *wanted)
        if {one.shape for one in (*clean.values(), *corrupted.values())} != {(len(clean["labels"]),)}:
            raise DataError(f"{record.folder}: its sweep is of other queries than it was asked")
        return cls(record, found, clean, corrupted)


def sweeps_of(records: Sequence[RunRecord]) -> list[Swept]:
    """Read the sweeps of all runs that have one; a damaged one is left out with a warning."""
    found = []
    for record in records:
        try:
            swept = Swept.of(record)
        except DataError as error:
            _LOG.warning("left out of the robustness tables: %s", error)
            continue
        if swept is not None:
            found.append(swept)
    return found


def robustness_panels(sweeps: Sequence[Swept]) -> list[RobustnessPanel]:
    """Return what sweeps found, a panel a test."""
    panels: dict[str, dict[str, list[Swept]]] = defaultdict(lambda: defaultdict(list))
    for swept in sweeps:
        run = swept.record.result
        panels[json.dumps([*run.place, run.spec.ties])][f"{run.method} {run.key}"].append(swept)
    return sorted((_panel(rows) for rows in panels.values()), key=lambda panel: (panel.title, panel.fingerprint))


def robustness_rows(sweeps: Sequence[Swept]) -> list[dict[str, Any]]:
    """Return one row a run, corruption and severity, the clean queries (severity 0) first."""
    rows = []
    for swept in sweeps:
        record, found = swept.record, swept.found
        names = {name: getattr(record.result, name) for name in ("dataset", "protocol", "method", "key", "seed")}
        clean = {"corruption": "clean", "severity": 0, "level": None, **found["clean"]}
        for one in (clean, *found["conditions"]):
            place = {name: one[name] for name in ("corruption", "severity", "level")}
            dropped = _columns("drop_", one["drop"]) if "drop" in one else {}
            rows.append({**names, **place, **_columns("", one), **dropped})
    return rows


def robustness_text(panel: RobustnessPanel) -> str:
    """Return a panel as Markdown: for each metric the scores by severity, then the drops by corruption."""
    parts = [f"## {panel.title}"]
    for metric in METRICS:
        heads = [f"{metric} ↑", "clean", *(f"{name} {_span(levels)}" for name, levels in panel.corruptions.items())]
        rows = [_scores(row, panel, metric) for row in panel.rows]
        parts += ["", markdown_table(heads, rows, "lr")]
        heads = [f"drop of {metric} ↓", "mean drop", *panel.corruptions, "seeds"]
        rows = [_drops(row, panel, metric) for row in panel.rows]
        parts += ["", markdown_table(heads, rows, "lr")]
    return "\n".join([*parts, "", panel.unscored] if panel.unscored else parts)


def draw_robustness(panel: RobustnessPanel, slug: str) -> Drawn:
    """Return map by severity, a small multiple a corruption and a line a method with the band of its interval."""
    with style():
        down = -(-len(panel.corruptions) // _COLUMNS)
        figure = Figure(figsize=(8.6, 2.5 * down), layout="constrained")
        grid = figure.subplots(down, _COLUMNS, sharex=True, sharey=True, squeeze=False).ravel()
        for axes, (name, severities) in zip(grid, panel.corruptions.items(), strict=False):
            _multiple(axes, panel.rows, name, severities)
        for at, axes in enumerate(grid):
            axes.set_visible(at < len(panel.corruptions))
            if at + _COLUMNS >= len(panel.corruptions):
                axes.set_xlabel("severity")
                axes.tick_params(labelbottom=True)
            if at % _COLUMNS == 0:
                axes.set_ylabel("map")
        handles, names = grid[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside right upper")
        figure.suptitle(f"{panel.title}: corrupted queries, clean gallery", fontsize=9.5)
        told = "map by the severity of what happened to the query, 0 the clean one; bands: 95 % intervals"
        return finish(figure, slug, alt=f"{panel.title}: {told}", caption=told)


def _multiple(axes: Axes, rows: Sequence[RobustnessRow], name: str, severities: Sequence[int]) -> None:
    for number, row in enumerate(rows):
        scores = [row.scores[key] for key in ("clean/map", *(f"{name}-{severity}/map" for severity in severities))]
        draw_band(axes, [0, *severities], scores, number, row.name, mark=3)
    axes.set_title(name)
    axes.set_xticks([0, *severities])


def _panel(rows: Mapping[str, Sequence[Swept]]) -> RobustnessPanel:
    first = next(iter(rows.values()))[0]
    corruptions: dict[str, list[int]] = defaultdict(list)
    for one in first.found["conditions"]:
        corruptions[one["corruption"]].append(one["severity"])
    names = row_names({key: swept[0].record for key, swept in rows.items()})
    made = [_row(names[key], swept, corruptions) for key, swept in rows.items()]
    run = first.record.result
    ordered = sorted(made, key=lambda row: row.scores["mean/drop/map"].mean - row.scores["clean/map"].mean)
    told = unscored_queries(first.clean["map"])
    place = run.dataset, run.protocol, run.spec.data, run.spec.fingerprint
    return RobustnessPanel(*place, dict(corruptions), ordered, told)


def _row(name: str, swept: Sequence[Swept], corruptions: Mapping[str, Sequence[int]]) -> RobustnessRow:
    columns: dict[str, Floats] = {}
    for metric in METRICS:
        columns[f"clean/{metric}"] = np.stack([one.clean[metric] for one in swept])
        for kind, severities in corruptions.items():
            several = {at: np.stack([one.corrupted[f"{kind}-{at}/{metric}"] for one in swept]) for at in severities}
            columns |= {f"{kind}-{at}/{metric}": values for at, values in several.items()}
            drops = columns[f"clean/{metric}"] - np.mean(list(several.values()), axis=0)
            columns[f"{kind}/drop/{metric}"] = drops
        columns[f"mean/drop/{metric}"] = np.mean([columns[f"{kind}/drop/{metric}"] for kind in corruptions], axis=0)
    labels = swept[0].clean["labels"].astype(np.int64)
    return RobustnessRow(
        name, len(swept), {key: estimate(of_queries(values, labels)) for key, values in columns.items()}
    )


def _scores(row: RobustnessRow, panel: RobustnessPanel, metric: str) -> list[str]:
    cells = [
        " ".join(f"{row.scores[f'{kind}-{at}/{metric}'].mean:.3f}" for at in severities)
        for kind, severities in panel.corruptions.items()
    ]
    return [row.name, str(row.scores[f"clean/{metric}"]), *cells]


def _drops(row: RobustnessRow, panel: RobustnessPanel, metric: str) -> list[str]:
    drops = [row.scores[f"{kind}/drop/{metric}"] for kind in ("mean", *panel.corruptions)]
    return [row.name, *map(str, drops), str(row.seeds)]


def _span(severities: Sequence[int]) -> str:
    return f"{severities[0]}-{severities[-1]}"


def _columns(prefix: str, found: Mapping[str, Any]) -> dict[str, float | None]:
    """Return scores and intervals as columns of a row."""
    told: dict[str, float | None] = {}
    for metric in METRICS:
        low, high = found["ci95"][metric]
        told |= {
            f"{prefix}{metric}": found["scores"][metric],
            f"{prefix}{metric}_ci95_low": low,
            f"{prefix}{metric}_ci95_high": high,
        }
    return told
