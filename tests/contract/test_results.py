"""A run's result: it comes back from JSON as it was, refuses what contradicts itself, and documents every field."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import replace
from typing import Any

import pytest
from fake_runs import NOTHING, fake_result, fake_spec
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import contract
from bench.contract import (
    Audit,
    Budget,
    Control,
    Costs,
    DataError,
    Digests,
    EngineFacts,
    Fitted,
    Measured,
    OnTest,
    OpenSet,
    Overlap,
    Point,
    Rejection,
    RunResult,
    Thresholds,
)
from bench.contract.results import SCHEMA

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
WORDS = st.text(max_size=8)
COUNTS = st.integers(0, 1000)
SHARES = st.dictionaries(WORDS, NUMBERS, min_size=1, max_size=4)
PAIRS = st.tuples(NUMBERS, NUMBERS).map(lambda pair: (min(pair), max(pair)))
THRESHOLDS = st.builds(
    Thresholds,
    st.builds(
        Fitted,
        *(COUNTS, COUNTS, COUNTS, NUMBERS, NUMBERS),
        points=st.lists(st.builds(Point, *[NUMBERS] * 4), max_size=2).map(tuple),
        roc=st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), max_size=3).map(tuple),
        rejection=st.none() | st.builds(Rejection, *[NUMBERS] * 3),
    ),
    st.builds(
        OnTest,
        COUNTS,
        points=st.lists(
            st.builds(Measured, st.none() | NUMBERS, NUMBERS, COUNTS, st.integers(1, 9), COUNTS, st.integers(1, 9)),
            max_size=2,
        ).map(tuple),
        open_set=st.none() | st.builds(OpenSet, st.booleans(), NUMBERS, NUMBERS, *[COUNTS] * 4),
    ),
)
AUDITS = st.builds(
    Audit,
    *[COUNTS] * 2,
    *[st.lists(st.builds(Overlap, WORDS, WORDS, *[COUNTS] * 4), max_size=2).map(tuple)] * 2,
    COUNTS,
    *[st.lists(WORDS, max_size=2).map(tuple)] * 2,
)
SPECS = st.builds(
    fake_spec,
    options=st.dictionaries(WORDS, st.none() | st.booleans() | COUNTS | NUMBERS | WORDS, max_size=3),
    budget=st.builds(Budget, seconds=st.none() | st.floats(0.1, 1e6), phases=st.none() | st.tuples(st.integers(1, 3))),
    ks=st.lists(st.integers(1, 50), max_size=3).map(tuple),
)


@st.composite
def results(draw: st.DrawFn) -> RunResult:
    scores = draw(SHARES)
    return fake_result(
        draw(SPECS),
        seed=draw(COUNTS),
        scores=scores,
        macro=draw(st.just({}) | st.just(scores)),
        ci95={name: draw(PAIRS) for name in scores},
        ci95_other_classes={name: draw(PAIRS) for name in scores},
        flags=draw(st.lists(WORDS, max_size=3).map(tuple)),
        controls=draw(
            st.lists(st.builds(Control, WORDS, NUMBERS, st.none() | NUMBERS, st.booleans(), WORDS)).map(tuple)
        ),
        audit=draw(st.none() | AUDITS),
        thresholds=draw(st.none() | THRESHOLDS),
        digests=draw(st.none() | st.builds(Digests, WORDS, st.none() | WORDS)),
        deviations=draw(st.dictionaries(WORDS, COUNTS | WORDS, max_size=2)),
        engine=draw(
            st.none() | st.builds(EngineFacts, WORDS, st.none() | WORDS, st.none() | WORDS, st.none() | NUMBERS)
        ),
        costs=draw(st.builds(Costs, COUNTS, COUNTS, *[st.none() | COUNTS] * 2, st.none() | WORDS, st.none() | NUMBERS)),
        timings=draw(SHARES),
        latency=draw(SHARES),
    )


@settings(max_examples=30)
@given(results())
def test_a_result_comes_back_from_json_as_it_was(result: RunResult) -> None:
    text = json.dumps(result.to_json(), allow_nan=False)
    assert RunResult.from_json(json.loads(text)) == result


def test_a_failed_run_comes_back_with_its_reason_and_without_scores() -> None:
    failed = fake_result(fake_spec(), reason="out of memory", traceback="a\nb")
    assert RunResult.from_json(failed.to_json()) == failed
    assert (failed.status, failed.scores, failed.costs) == ("failed", {}, None)
    with pytest.raises(DataError, match=r"failed \(out of memory\): it has no vectors"):
        _ = failed.embedding_dim


def test_numbers_that_are_not_finite_are_null_and_come_back_as_nan() -> None:
    control = Control("hubness", float("inf"), None, passed=True, meaning="")
    written = fake_result(fake_spec(), controls=(control,)).to_json()
    assert written["controls"][0] == {"name": "hubness", "value": None, "limit": None, "passed": True, "meaning": ""}
    (read,) = RunResult.from_json(written).controls
    assert (str(read.value), read.limit) == ("nan", None)


@pytest.mark.parametrize("schema", [None, 1, SCHEMA + 1, "2"])
def test_another_schema_is_refused_with_both_numbers(schema: Any) -> None:
    with pytest.raises(DataError, match=f"it has schema {schema}, this simbench reads {SCHEMA}"):
        RunResult.from_json({**fake_result(fake_spec()).to_json(), "schema": schema})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": "0"}, "seed: expected a whole number, got '0'"),
        ({"seed": True}, "seed: expected a whole number, got 'True'"),
        ({"scores": {"map": "high"}}, "scores.map: expected a number, got 'high'"),
        ({"scores": [1]}, "scores: expected an object"),
        ({"ci95": {"map": [0.1]}}, r"ci95.map: expected a list of 2, got '\[0.1\]'"),
        ({"flags": "collapsed"}, "flags: expected a list, got 'collapsed'"),
        ({"flags": [1]}, r"flags\[0\]: expected text, got '1'"),
        ({"status": "running"}, "status: expected one of done, failed, got 'running'"),
        ({"spec": {}}, "spec has no 'dataset', 'protocol', 'method', 'fingerprint'"),
        ({"costs": {"embedding_dim": 1, "bytes_per_vector": 4, "euros": 3}}, "costs has an unknown 'euros'"),
        ({"euros": 3}, "there is an unknown 'euros'"),
    ],
)
def test_what_does_not_fit_is_refused_and_named(change: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        RunResult.from_json({**fake_result(fake_spec()).to_json(), **change})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": -1}, "seed and seconds are 0 or more"),
        (NOTHING, "a failed run has a reason"),
        ({"status": "failed", "reason": "x"}, "no scores and no costs"),
        ({"reason": "x"}, "no reason to have failed"),
        ({"costs": None}, "has scores and costs"),
        ({"ci95": {"mrr": (0.0, 1.0)}}, "mrr has an interval or a mean of classes, but no score"),
        ({"ci95": {"map": (1.0, 0.0)}}, "the interval of map ends before it begins"),
    ],
)
def test_parts_that_contradict_each_other_are_refused_at_birth(change: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        replace(fake_result(fake_spec()), **change)


def test_every_field_of_run_json_is_documented_in_its_class() -> None:
    seen, todo = set(), [RunResult]
    while todo:
        kind = todo.pop()
        if kind in seen:
            continue
        seen.add(kind)
        documented = set(re.findall(r"\w+", (kind.__doc__ or "").lower()))
        missing = {one.name for one in dataclasses.fields(kind)} - documented
        assert not missing, f"{kind.__name__}: {missing}"
        for one in dataclasses.fields(kind):
            todo += [other for name in re.findall(r"\w+", str(one.type)) if (other := _CLASSES.get(name)) is not None]
    assert {Thresholds, Measured, Audit, Costs} <= seen


_CLASSES: dict[str, Any] = {name: value for name, value in vars(contract).items() if dataclasses.is_dataclass(value)}


def test_a_run_from_before_a_spec_had_metrics_is_read_as_one_without_any() -> None:
    content = fake_result(fake_spec()).to_json()
    del content["spec"]["metrics"]
    assert RunResult.from_json(content) == RunResult.from_json(fake_result(fake_spec()).to_json())
    del content["spec"]["ks"]
    with pytest.raises(DataError, match="its spec lacks something"):
        RunResult.from_json(content)
