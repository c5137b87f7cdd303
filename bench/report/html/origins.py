"""Where each number came from, and whether it may be wrong: provenance and alarms of each run."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.contract import DRAW
from bench.report.tables.frame import without_folders
from bench.report.tables.groups import Row
from bench.report.tables.wording import many
from bench.runs.store import RunRecord


@dataclass(frozen=True)
class Origin:
    """One run: its anchor, its folder below the runs, a link where the page can reach it, and facts in order."""

    slug: str
    seed: int
    folder: str
    link: str | None
    facts: tuple[tuple[str, str], ...]
    options: str
    alarms: tuple[str, ...]


def origins(row: Row, runs: Path, folder: Path, found: Mapping[Path, tuple[str, ...]]) -> list[Origin]:
    """Return each run of a row. folder: where the page will lie; found: the alarms across runs."""
    commands = dict(zip(zip(row.frame[DRAW], row.frame["seed"], strict=True), row.frame["command"], strict=True))
    draws = {record.result.draw for record in row.records}
    return [
        Origin(
            f"{row.slug}-{f'draw{record.result.draw}-' if len(draws) > 1 else ''}seed{record.result.seed}",
            record.result.seed,
            record.folder.relative_to(runs).as_posix(),
            _link(record.folder, folder),
            _facts(record, str(commands.get((str(record.result.draw), record.result.seed), ""))),
            without_folders(json.dumps(dict(record.result.spec.options), indent=1, sort_keys=True)),
            found.get(record.folder, ()),
        )
        for record in row.records
    ]


def _facts(record: RunRecord, command: str) -> tuple[tuple[str, str], ...]:
    run, made_by = record.result, record.result.provenance
    files = f" ({', '.join(made_by.uncommitted)})" if made_by.uncommitted else ""
    packages = ", ".join(f"{name} {version}" for name, version in made_by.packages.items() if version)
    machine = [made_by.cpu, many(made_by.threads, "thread"), made_by.gpu, f"{made_by.ram_gib} GiB"]
    load = (
        "" if run.load is None else f"{run.load:.2f} of {many(made_by.cores, 'processor')} at work for other programs"
    )
    facts = {
        "command": command,
        "commit": f"{made_by.commit or 'unknown'}{f' with uncommitted changes{files}' if made_by.dirty else ''}",
        "date": made_by.date,
        "machine": ", ".join(str(one) for one in machine if one),
        "while timed": load,
        "system": f"{made_by.system} Python {made_by.python}",
        "packages": packages,
        "plugins of": ", ".join(f"{name} {version}" for name, version in made_by.distributions.items()),
        "made of": ", ".join(f"{name} {mark}" for name, mark in run.spec.marks.items()),
        "data": run.spec.fingerprint,
        "split seed": str(run.draw) if run.draw else "",
        "seconds": f"{run.seconds:,.0f}",
        "engine": run.spec.engine,
        "deterministic": "yes" if run.spec.deterministic else "",
        "mirrored at test": "yes" if run.spec.mirror_test else "no",
        "flags": "; ".join(run.flags),
    }
    return tuple((name, value) for name, value in facts.items() if value)


def _link(folder: Path, page: Path) -> str | None:
    """Return the way from the page to a run.json in the same project; a longer one would name private folders."""
    project = page.resolve().parent
    target = folder.resolve() / "run.json"
    return os.path.relpath(target, page.resolve()) if target.is_relative_to(project) else None
