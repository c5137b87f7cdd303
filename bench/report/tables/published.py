"""Figures that others published on the field's benchmarks: to stand under a table of the same question, never in it."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

SOURCES = {
    "unicom": "https://github.com/deepglint/unicom at ae71411",
    "oml": "https://github.com/OML-Team/open-metric-learning at 6be182e2, its zoo",
    "mteb": "https://github.com/embeddings-benchmark/results at f4cc6c8b, for MIEB; the files of DINOv2 small "
    "(CUB-200, Cars-196, SOP), base and large (CUB-200) read once more at 8adcfd22 and ca608990",
    "fastreid": "https://github.com/JDAI-CV/fast-reid at c9bc3ce, its zoo",
    "revisitop": "https://github.com/filipradenovic/revisitop at be39832, its example; the same in its README at "
    "42e05e9",
    "amstertime": "https://github.com/seyrankhademi/AmsterTime at ec9af09",
}


@dataclass(frozen=True)
class Figure:
    """One published figure.

    dataset, protocol: as tables have them; queries: how many were asked; metric: by its name here; value: as digits;
    learnt: "frozen" for a network that was not trained on this data set, else "trained"; note: what else differs from a
    run here; source: a key of ``SOURCES``, or the user's file that it was read from.
    """

    dataset: str
    protocol: str
    queries: int
    metric: str
    value: str
    method: str
    learnt: str
    note: str
    source: str

    def __str__(self) -> str:
        said = ", ".join(filter(None, [self.learnt, self.note]))
        return f"{self.metric} {self.value} by {self.method} ({said})"


@cache
def published() -> tuple[Figure, ...]:
    """Return all figures, data set by data set, the best first."""
    text = files("bench.report.tables").joinpath("published.csv").read_text("utf-8")
    return tuple(Figure(queries=int(row.pop("queries")), **row) for row in csv.DictReader(text.splitlines()))


def asked_alike(figures: Iterable[Figure], dataset: str, protocol: str, queries: set[int]) -> tuple[Figure, ...]:
    """Return the figures of a table's question; none where it was asked by fewer queries than the published one."""
    return tuple(one for one in figures if (one.dataset, one.protocol, {one.queries}) == (dataset, protocol, queries))
