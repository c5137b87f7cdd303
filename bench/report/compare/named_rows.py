"""The row that a user's word names: a run's folder, a folder above runs, or a method with what sets a row apart."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.contract import DRAW, DataError, RunResult, UsageError
from bench.naming import canonical
from bench.report.tables.draws import undrawn_specs
from bench.report.tables.entries import Entry, entry_of
from bench.report.tables.frame import input_of
from bench.report.tables.wording import plain
from bench.runs.run_plan import default_options
from bench.runs.store import RUN_FILE, RunRecord, read_run, without_copies

_KEY = "key"
_WORD = re.compile(r"([^\[\]]+)\[(.*)\]", re.DOTALL)
_NEXT = re.compile(r",(?=\s*[\w -]+=)")  # a value may hold commas


@dataclass(frozen=True)
class _Row:
    """Runs of one row. facts: everything chosen of them, as text by name; unlike: the options unlike the defaults."""

    runs: tuple[RunRecord, ...]
    facts: Mapping[str, str]
    unlike: frozenset[str]

    def has(self, asked: Mapping[str, str]) -> bool:
        return all(name in self.facts and _same(self.facts[name], value) for name, value in asked.items())


def find_entry(word: str, root: Path) -> Entry:
    """Return the row that a word names: a run's folder, a folder above runs, or a method under ``root``.

    A method with rows that differ takes choices in brackets, ``triplet[encoder=resnet, protocol=loo]``: options, and
    dataset, protocol, key and whatever else was chosen. Of several rows that have them all, the one whose other options
    are the defaults. Runs of several draws of new classes are one row; ``split_seed=N`` in brackets takes one of them.
    Raises UsageError if there is no run, or no such row, or several; DataError if a run of the row failed.
    """
    runs, asked = _runs_of(word, root)
    drawn = asked.pop(DRAW, None)
    every = _rows(runs)
    rows = every if drawn is None else _rows([run for run in runs if str(run.result.draw) == drawn])
    found = [row for row in rows if row.has(asked)]
    if len(found) > 1:
        plainest = [row for row in found if row.unlike <= asked.keys()]
        found = plainest if len(plainest) == 1 else found
    if len(found) != 1:
        names = ", ".join(_typed(row, found or every) for row in found or every)
        raise UsageError(f"{word} {f'is {len(found)} rows' if found else 'is no row'}; there are: {names}")
    for run in found[0].runs:
        if run.status != "done":
            raise DataError(f"{run.folder} failed: {run.result.reason}; run it again")
    return entry_of(without_copies(list(found[0].runs)))


def _runs_of(word: str, root: Path) -> tuple[list[RunRecord], dict[str, str]]:
    """Return the runs of a word's folder or method, and what it says in brackets, by name."""
    base, asked = Path(word), dict[str, str]()
    if base.is_dir():
        paths = [base / RUN_FILE] if (base / RUN_FILE).is_file() else sorted(base.rglob(f"seed*/{RUN_FILE}"))
    else:
        bracketed = _WORD.fullmatch(word.strip())
        method, inside = bracketed.groups() if bracketed else (word, "")
        asked = _asked(word, inside)
        plain_name = Path(method).name == method
        paths = sorted(root.glob(f"*/*/{canonical(method)}/*/seed*/{RUN_FILE}")) if plain_name else []
    runs = [run for run in (read_run(path.parent) for path in paths) if run is not None]
    if not runs:
        raise UsageError(f"{word}: no run here, and no method of this name has runs in {root}; give a run's folder")
    return runs, asked


def _asked(word: str, inside: str) -> dict[str, str]:
    """Return ``a=1, b=2`` as a mapping. Raises UsageError for what is none."""
    found = {}
    for choice in filter(None, map(str.strip, _NEXT.split(inside))):
        name, equals, value = choice.partition("=")
        if not (name.strip() and equals):
            raise UsageError(f"{word}: in brackets stand choices NAME=VALUE, such as [encoder=resnet], got {choice!r}")
        found[name.strip().replace("-", "_")] = value.strip()
    return found


def _rows(runs: Sequence[RunRecord]) -> list[_Row]:
    """Return the rows that runs are of, several draws of new classes in one where there are several."""
    specs, found = undrawn_specs(runs), dict[tuple[str, ...], list[RunRecord]]()
    for run in runs:
        key = specs[run.folder].key if run.folder in specs else run.result.key
        found.setdefault((str(run.folder.parents[2]), run.result.method, key), []).append(run)
    defaults = {method: default_options(method) for _, method, _ in found}
    rows = []
    for (_, method, key), same in found.items():
        facts = _facts(same[0].result) | {_KEY: key}
        if len({run.result.draw for run in same}) > 1:
            facts.pop(DRAW, None)
        usual = defaults[method]
        unlike = frozenset(
            name
            for name, value in same[0].result.spec.options.items()
            if usual and plain(value) != plain(usual.get(name))
        )
        rows.append(_Row(tuple(same), facts, unlike))
    return rows


def _facts(run: RunResult) -> dict[str, str]:
    """Return everything that was chosen of a run, as text by name."""
    spec = run.spec
    budget = {name: value for name, value in asdict(spec.budget).items() if value is not None}
    scored = {"ties": spec.ties, "ks": list(spec.ks), "metrics": list(spec.metrics), "mirror_test": spec.mirror_test}
    made_on = {"device": spec.device, "engine": spec.engine, "deterministic": spec.deterministic}
    where = {"dataset": spec.dataset, "protocol": spec.protocol, **spec.data, "input": input_of(run)}
    every = {**where, **spec.options, **budget, **scored, **spec.marks, **made_on}
    return {name: plain(value) for name, value in every.items()}


def _same(fact: str, asked: str) -> bool:
    """Whether a text says the same value as another: 0.1 as .1, none as None."""
    if fact.lower() == asked.lower():
        return True
    try:
        return float(fact) == float(asked)
    except ValueError:
        return False


def _typed(row: _Row, rows: Sequence[_Row]) -> str:
    """Return a row as one types it: what its options have unlike the defaults, then what sets it apart from the others.

    Its key where nothing else does.
    """
    names = sorted(row.unlike)
    for name in row.facts:
        told = {one: row.facts[one] for one in names}
        alike = [other for other in rows if other is not row and other.unlike <= {*names} and other.has(told)]
        if any(not other.has({name: row.facts[name]}) for other in alike):
            names.append(name)
    method = row.runs[0].result.method
    word = f"{method}[{', '.join(f'{name}={row.facts[name]}' for name in names)}]" if names else method
    return f"'{word}'" if names else word
