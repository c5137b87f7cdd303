"""What must be known of a table beside its numbers: the notes of its rows, and the lines under it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence

import pandas as pd

from bench.contract import Baseline
from bench.data.splits.protocols import unseen
from bench.naming import first_few
from bench.report.tables.frame import metric_of
from bench.report.tables.published import Figure, asked_alike, published
from bench.report.tables.wording import days, many, plain, queries_in_words


def notes(runs: pd.DataFrame, but: Collection[str] = ()) -> str:
    """Return a row's flags, deviations from the shared defaults, budget and engine in words.

    runs: its runs, of the table of runs; but: what is told elsewhere.
    """
    return "; ".join(sorted(_found(runs) - set(but)))


def shared_notes(rows: Iterable[pd.DataFrame]) -> tuple[str, ...]:
    """Return the notes that several rows of a table all have: told once, under it. rows: the runs of each."""
    found = [_found(runs) for runs in rows]
    return tuple(sorted(set.intersection(*found))) if len(found) > 1 else ()


def _found(runs: pd.DataFrame) -> set[str]:
    found = {note for column in ("flags", "deviations") for texts in runs[column] for note in texts}
    for text in set(runs["budget"]):
        budget = json.loads(text)
        if budget.get("seconds") is not None:
            found.add(f"budget {budget['seconds']:g} s")
        found |= {f"{name} {plain(budget[name])}" for name in ("epochs", "phases") if budget.get(name) is not None}
    found |= {f"engine {engine}" for engine in runs["engine"] if engine != "torch"}
    return found | ({"mirror_test"} if runs["mirror_test"].eq(True).any() else set())


def below(group: pd.DataFrame, figures: Sequence[Figure] = ()) -> list[str]:
    """Return the paragraphs under a table: queries scored, what its ranks can tell, leaks, seen classes, how made.

    figures: published ones beside those that are known.
    """
    asked = [f"**Queries**: {text}." for text in [queries(group)] if text]
    timed = [f"**Latency**: {text}." for text in [busy(group)] if text]
    mixed = [f"**Threads**: {text}." for text in [threads(group)] if text]
    return [
        *asked,
        *(f"**Ranks**: {text}." for text in ranks(group)),
        *_leaks(group),
        *_seen_classes(group),
        *_published(group, figures),
        *timed,
        *mixed,
        made(group),
    ]


def queries(group: pd.DataFrame) -> str:
    """Return how many of a table's queries were scored, in words; nothing where no run says."""
    known = group.dropna(subset=["queries", "queries_scored"])
    pairs = zip(known["queries_scored"], known["queries"], strict=True)
    return " and ".join(
        queries_in_words(*pair) for pair in sorted({(int(scored), int(asked)) for scored, asked in pairs})
    )


def busy(runs: pd.DataFrame) -> str:
    """Return which methods were timed while other programs wanted the processors, in words; nothing where none was."""
    found = runs[runs["timed_busy"].eq(True)]
    if found.empty:
        return ""
    timed = set(runs.loc[runs["status"] == "done", "method"])
    methods = sorted(set(found["method"]))
    named = "" if set(methods) == timed else f" of {', '.join(methods)}"
    most, threads = found["timing_load"].max(), int(found["threads"].max())
    return (
        f"timed on a busy machine ({many(len(found), 'run')}{named}; {many(threads, 'thread')} beside other programs "
        f"that kept up to {most:.1f} processors at work): compare again on a quiet one"
    )


def threads(runs: pd.DataFrame) -> str:
    """Return on how many threads a table's runs were made, in words, where that differs; nothing where it does not."""
    done = runs[runs["status"] == "done"]
    counts = sorted({int(count) for count in done.loc[done["deterministic"].ne(True), "threads"]})
    if len(counts) < 2:
        return ""
    return (
        f"runs on {' and '.join(map(str, counts))} threads: sums are rounded otherwise on another number, so that what "
        "differs between such runs may be no more than that (`--deterministic` gives the same bits)"
    )


def ranks(group: pd.DataFrame) -> list[str]:
    """Return what the ranks and intervals of a table can tell, in words; nothing for a table of one row."""
    return sorted({text for text in group["rank_note"] if text})


def _leaks(group: pd.DataFrame) -> list[str]:
    """Return what a table's data leaks, or nothing."""
    told = sorted({"; ".join(texts) for texts in group["leaks"] if texts})
    return [f"**Leak**: {' and '.join(told)}. `--drop-leaks` leaves them out of the training."] if told else []


def _seen_classes(group: pd.DataFrame) -> list[str]:
    """Return what is to be known of a classifier's features and classes that were all trained on, or nothing."""
    done = group[group["status"] == "done"]
    classifiers = sorted(set(done.loc[done["baseline"].eq(Baseline.CLASSIFIER), "method"]))
    if not classifiers or not done["seen_classes"].eq(True).all():
        return []
    named = " and ".join(f"`{name}`" for name in classifiers)
    return [
        "**Seen classes**: every class asked for was trained on, so retrieval here is classification in disguise and "
        f"{named}, a plain classifier's features, is the row to beat; protocol `{unseen.__name__}` asks for new "
        "classes."
    ]


_FIGURES = 3  # of those published, the best


def _published(group: pd.DataFrame, others: Sequence[Figure]) -> list[str]:
    """Return what others published on a table's question: the best figures known, and of files hit@1 and its metric."""
    first = group.iloc[0]
    asked = first["dataset"], first["protocol"], {int(count) for count in group["queries"].dropna()}
    metrics = {metric_of(group).name, "hit@1"}
    own = [one for one in asked_alike(others, *asked) if one.metric in metrics]
    told = first_few([str(one) for one in asked_alike(published(), *asked)], _FIGURES)
    return [
        *([f"**Published, not run here**: {told}; sources in docs/reference/published.md."] if told else []),
        *(f"**Published, not run here**: {one}; read from {one.source}." for one in own),
    ]


def made(group: pd.DataFrame) -> str:
    """Return the line that says how a table was made."""
    done = group[group["status"] == "done"]
    runs = done if len(done) else group
    commits = sorted(
        {f"{str(c)[:10]}{'+' if d else ''}" for c, d in zip(runs["commit"], runs["dirty"], strict=True) if c}
    )
    machines = sorted({f"{cpu}, {many(n, 'thread')}" for cpu, n in zip(runs["cpu"], runs["threads"], strict=True)})
    data = group["dataset_revision"].iloc[0][:12]
    when = f"{days(runs['date'])} on {' and '.join(machines)}"
    return f"Made {when}; commit {' and '.join(commits) or 'unknown'}; data {data}."
