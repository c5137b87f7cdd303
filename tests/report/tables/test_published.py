"""Published figures stand under the table of their own question, and name data sets and queries as the loaders do."""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import pytest
from fake_runs import DATA, fake_result, fake_spec, write_fake

from bench.plugins import DATASET
from bench.registry import get_dataset, plugin_names, variants_of
from bench.report.tables.frame import runs_frame
from bench.report.tables.leaderboard import tables
from bench.report.tables.published import SOURCES, published
from bench.runs.store import all_runs


def board(root: Path, dataset: str, protocol: str, queries: int) -> str:
    """Return the tables of one run that asked so many queries."""
    data = replace(DATA, counts={**DATA.counts, "query": queries})
    scores = {"map": 0.5, "hit@1": 0.6, "queries_without_relevant": 0}
    write_fake(root, fake_result(fake_spec(dataset=dataset, protocol=protocol), data=data, scores=scores))
    return tables(runs_frame(all_runs(root)))


def test_the_best_published_figures_stand_under_a_table_of_all_queries(tmp_path: Path) -> None:
    told = " ".join(board(tmp_path, "sop-dml", "loo", 60_502).split())
    assert "**Published, not run here**: hit@1 .912 by UNICOM ViT-L/14@336 (trained, the best epoch on test), " in told
    assert "and 6 more; sources in docs/reference/published.md." in told
    assert "| pixels" in told
    assert "UNICOM" not in told.partition("**Published")[0]


@pytest.mark.parametrize(
    ("dataset", "protocol", "queries"),
    [("sop-dml", "loo", 1_000), ("sop-dml", "holdout", 60_502), ("sop-mieb", "loo", 60_502), ("sop", "loo", 60_502)],
)
def test_another_question_has_no_published_figures(tmp_path: Path, dataset: str, protocol: str, queries: int) -> None:
    assert "Published" not in board(tmp_path, dataset, protocol, queries)


def test_figures_are_shares_with_a_known_source_the_best_first() -> None:
    assert {one.source for one in published()} == set(SOURCES)
    assert all(0 < float(one.value) < 1 and one.value.startswith(".") for one in published())
    assert {one.learnt for one in published()} == {"frozen", "trained"}
    for _, some in groupby(published(), lambda one: (one.dataset, one.metric)):
        values = [float(one.value) for one in some]
        assert values == sorted(values, reverse=True)


def test_figures_are_of_a_variant_that_there_is_with_upstreams_number_of_queries() -> None:
    asked = {}
    for name in plugin_names(DATASET):
        cls = get_dataset(name)
        counts = getattr(sys.modules[cls.__module__], "PUBLISHED", {})
        for variant in variants_of(name) or ("",):
            parts = counts.get(variant, counts)
            title = "-".join(filter(None, [name.replace("_", "-"), variant]))
            asked[title] = parts.get("test", parts.get("query"))
            if name == "vehicleid":
                asked[title] -= sys.modules[cls.__module__].TESTED[variant]  # one image of each vehicle is the gallery
    asked["amstertime"] = asked["amstertime-old"] + asked["amstertime-new"]  # published of both together
    assert {one.dataset: one.queries for one in published()}.items() <= asked.items()
