"""What tuning found, as files: a section of bench.toml a method, and a CSV of its trials."""

from __future__ import annotations

import json
import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.config import read_toml
from bench.contract import Budget, SimbenchError
from bench.environment import version
from bench.files import write_bytes, write_rows
from bench.runs.provenance import git_commit
from bench.tuning.search import Tuned

_HEADER = re.compile(r"\s*\[")


def section(found: Tuned) -> str:
    """Return ``[methods.<name>]`` with the best options, below comments that say how they were found."""
    spec, trials = found.plan.spec, len(found.trials)
    commit, dirty = git_commit(Path(__file__).resolve().parents[2])
    chosen = "".join(f", {name}={value}" for name, value in spec.data.items())
    from_commit = f"commit {commit[:10]}{' with changes' if dirty else ''}, " if commit else ""
    lines = [
        f"# Tuned on {spec.dataset} ({spec.protocol}{chosen}): validation map {found.best.score:.4f}, "
        f"defaults {found.default.score:.4f}.",
        f"# {trials} {'trial' if trials == 1 else 'trials'} of {_length(spec.budget)}, seed {found.plan.seed}; "
        f"simbench {version()}, {from_commit}{datetime.now(UTC):%Y-%m-%d}.",
        f"[methods.{spec.method}]",
        *(f"{name} = {_toml(value)}" for name, value in found.options.items()),
    ]
    return "\n".join(lines) + "\n"


def save_section(path: Path, found: Tuned) -> str:
    """Put a method's section into a TOML file, which may have others, and return it; no other line changes.

    Raises SimbenchError where the file cannot be read, or has the section in a form that cannot be replaced safely.
    """
    name, new = found.plan.spec.method, section(found)
    old = require_toml(path)
    text = _with_section(old, name, new)
    wanted = tomllib.loads(old)
    wanted["methods"] = {**wanted.get("methods", {}), **tomllib.loads(new)["methods"]}
    if _parsed(text) != wanted:
        raise SimbenchError(f"cannot replace [methods.{name}] in {path} without changing other lines; use --output")
    write_bytes(path, text.encode())
    return new


def require_toml(path: Path) -> str:
    """Return the text of a TOML file, "" where there is none. Raises UsageError if it cannot be read or parsed."""
    return read_toml(path)[0] if path.exists() else ""


def save_trials(path: Path, found: Tuned) -> None:
    """Write every finished trial as a row: number from 0 (the defaults), score, seconds, problem, and each option."""
    write_rows(
        path,
        [
            {
                "trial": number,
                "validation_map": trial.score,
                "seconds": trial.seconds,
                "problem": trial.problem,
                **found.plan.fixed,
                **trial.values,
            }
            for number, trial in enumerate(found.trials)
        ],
    )


def _with_section(text: str, name: str, new: str) -> str:
    """Return the text with one section in place of the old one, its comments included, or behind everything else."""
    lines = text.splitlines(keepends=True)
    heads = [number for number, line in enumerate(lines) if _HEADER.match(line)]
    wanted = re.compile(rf"\s*\[\s*methods\s*\.\s*{re.escape(name)}\s*\]")
    for place, head in enumerate(heads):
        if wanted.match(lines[head]):
            end = _first_comment(lines, heads[place + 1]) if place + 1 < len(heads) else len(lines)
            gap = "\n" if end < len(lines) else ""
            return "".join([*lines[: _first_comment(lines, head)], new, gap, *lines[end:]])
    return f"{text.rstrip()}\n\n{new}" if text.strip() else new


def _first_comment(lines: list[str], head: int) -> int:
    """Return the first of the comment lines right above a section's head, or the head itself."""
    while head > 0 and lines[head - 1].lstrip().startswith("#"):
        head -= 1
    return head


def _parsed(text: str) -> dict[str, Any] | None:
    """Return what a TOML text says, None where it is not valid: a section twice, a value cut in the middle."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str) or value is None:  # TOML has no null; an option that may be None reads the word so
        return json.dumps("none" if value is None else value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)


def _length(budget: Budget) -> str:
    phases = f" (phases {', '.join(map(str, budget.phases))})" if budget.phases else ""
    if budget.epochs is not None:
        return f"{budget.epochs:g} epochs{phases}"
    return f"{budget.seconds:g} s{phases}" if budget.seconds is not None else f"the method's own length{phases}"
