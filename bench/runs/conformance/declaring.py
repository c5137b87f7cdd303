"""Promises kept before anything is computed: what a method says of itself."""

from __future__ import annotations

import inspect
import json

from bench.contract import Method, SimbenchError
from bench.options import build, values_of
from bench.runs.conformance.trial import fresh


def introduces_itself(cls: type[Method]) -> None:
    """Its file's docstring has a first line, which ``simbench list`` shows."""
    module = inspect.getmodule(cls)
    if not (inspect.getdoc(module) or "").partition("\n")[0].strip():
        raise SimbenchError("the file has no docstring, or an empty first line")


def options_survive_run_json(cls: type[Method]) -> None:
    """Every default, written to run.json and read again, makes the same method: that is how a run is reopened."""
    before = values_of(fresh(cls))
    after = values_of(build(cls, json.loads(json.dumps(before)), owner=f"method {cls.__name__}"))
    different = [f"{name} ({value!r} to {after[name]!r})" for name, value in before.items() if after[name] != value]
    if different:
        raise SimbenchError(f"options came back different: {', '.join(different)}")
