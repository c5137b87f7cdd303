"""``simbench evaluate``: the full table for vectors from anywhere."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.options import debugging, option, wide_tables
from bench.cli.terminal import show
from bench.contract import UsageError, to_jsonable

if TYPE_CHECKING:
    from bench.runs.external_embeddings import Judged, Side

_OF_LISTS = ("positives", "ignore")
_LISTS = (
    "jsonl: a list of ids, or an object of ids and gains, a line; csv: columns query, item, gain; npz: sparse matrix"
)
_VECTORS = "npy, npz, safetensors or parquet; PATH:KEY names one array or column of several"


@click.command()
@option("--query", required=True, metavar="FILE", help=f"Vectors of the queries ({_VECTORS}).")
@option("--query-labels", metavar="FILE", help="Their labels (npy, npz, parquet, csv, or txt).")
@option("--gallery", metavar="FILE", help="Vectors of the gallery.  [default: each query asks all the others]")
@option("--gallery-labels", metavar="FILE", help="Their labels.")
@option("--query-ids", metavar="FILE", help="Ids: what has a query's id is not ranked for it.")
@option("--gallery-ids", metavar="FILE", help="Ids of the gallery.")
@option("--query-groups", metavar="FILE", help="Such as cameras: what has a query's label and group is not ranked.")
@option("--gallery-groups", metavar="FILE", help="Groups of the gallery.")
@option("--positives", metavar="FILE", help=f"What answers each query, in place of labels ({_LISTS}).")
@option("--ignore", metavar="FILE", help="What is not ranked for each query, neither answer nor mistake; likewise.")
@option("--validation", metavar="FILE", help="Vectors to fit thresholds on: neither query nor gallery.")
@option("--validation-labels", metavar="FILE", help="Their labels.")
@option("--train", metavar="FILE", help="Vectors of what was trained on, to look for the queries among them.")
@option("-k", "--k", "ks", multiple=True, type=int, metavar="K", help="A cutoff; repeatable.  [default: 1, 10, 50]")
@option("--metric", "metrics", multiple=True, metavar="NAME", help="Also map_trapezoid, minp, mp@k, ...; repeatable.")
@option("--ties", default="pessimistic", help="pessimistic, mean or optimistic.")
@option("--dialect", "dialects", multiple=True, metavar="NAME", help="Also trec, oml or torchmetrics; repeatable.")
@option("--no-normalize", is_flag=True, help="Rank by the plain inner product: leave the vectors' lengths alone.")
@option("--seed", type=click.IntRange(min=0), default=0, help="Seed of samples.")
@option("--threads", type=int, help="Threads.  [default: one a processor, at most 8]")
@option("--device", default="cpu", help="Where to rank: cpu, cuda, or auto.")
@option("--save", metavar="FOLDER", help="Also write evaluation.json and per_query.npz there.")
@wide_tables
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@debugging
def evaluate(
    *,
    ks: Sequence[int],
    metrics: Sequence[str],
    ties: str,
    dialects: Sequence[str],
    no_normalize: bool,
    seed: int,
    threads: int | None,
    device: str,
    save: str | None,
    wide: bool,
    as_json: bool,
    **files: str | None,
) -> None:
    """Score vectors that any model made, with the controls that every run has.

    A control that fails is told under the table; it changes no score and not the exit code.

    \b
    simbench evaluate --query v.npy --query-labels y.npy             each asks all the others
    simbench evaluate --query q.npy --query-labels q.csv:label --gallery g.npy --gallery-labels g.csv:label
    simbench evaluate --query v.parquet:vector --query-labels v.parquet:label --dialect oml --dialect trec
    simbench evaluate ... --validation v.npy --validation-labels vy.npy      also thresholds
    simbench evaluate --query q.npy --gallery g.npy --query-ids q.txt --gallery-ids g.txt --positives judged.csv
    simbench evaluate ... --query-groups q.csv:camera --gallery-groups g.csv:camera --metric minp
    """
    from bench.data.formats.answer_files import read_answers
    from bench.evaluation.metrics.registry import extra
    from bench.files import ensure_writable
    from bench.runs.external_embeddings import (
        check_dialects,
        dialect_scores,
        judge_vectors,
        paired,
        refuse_two_makers,
        save_judged,
        vectors_in,
    )

    query, gallery, validation = (_side(files, name) for name in ("query", "gallery", "validation"))
    if query is None:
        raise UsageError("give --query")
    if gallery is None:
        for what in ("ids", "groups"):
            if files[f"gallery_{what}"] is not None:
                raise UsageError(f"--gallery-{what} without --gallery")
    refuse_two_makers({name: files[name] for name in ("query", "gallery", "validation", "train")})
    check_dialects(dialects)  # and the like before hours of ranking
    extra(metrics)
    if save is not None:
        ensure_writable(Path(save))
    query, gallery = paired(query, gallery)
    sides = query.named("queries"), gallery.named("gallery")
    lists = {what: read_answers(word, *sides) for what in _OF_LISTS if (word := files[what]) is not None}
    judged = judge_vectors(
        query,
        gallery,
        validation=validation,
        train=None if files["train"] is None else vectors_in(files["train"], "train"),
        positives=lists.get("positives"),
        ignored=lists.get("ignore"),
        ks=ks or (1, 10, 50),
        metrics=metrics,
        ties=ties,
        normalize=not no_normalize,
        threads=threads,
        device=_device(device),
        seed=seed,
    )
    by_dialect = dialect_scores(judged.evaluation, dialects)
    if save is not None:
        save_judged(Path(save), query, gallery, judged)
    if as_json:
        click.echo(json.dumps(to_jsonable({**judged.facts(), "dialects": by_dialect}), indent=2))
        return
    show("\n".join(_lines(judged, by_dialect, query, gallery)), wide=wide)


def _device(word: str) -> str:
    """Return the device that a word stands for, without importing torch for the usual one."""
    if word == "cpu":
        return word
    from bench.runs.provenance import choose_device

    return str(choose_device(word))


def _side(files: dict[str, str | None], name: str) -> Side | None:
    from bench.runs.external_embeddings import read_side

    vectors, labels = files[name], files[f"{name}_labels"]
    if vectors is None and labels is None:
        return None
    listed = name != "validation" and files["positives"] is not None
    if listed and labels is not None:
        raise UsageError(f"--positives take the place of labels; leave out --{name}-labels")
    if vectors is None or (labels is None and not listed):
        instead = "" if name == "validation" else ", or --positives in place of labels"
        raise UsageError(f"give --{name} and --{name}-labels, both{instead}")
    return read_side(name, vectors, labels, files.get(f"{name}_ids"), files.get(f"{name}_groups"))


def _lines(judged: Judged, dialects: dict[str, dict[str, float]], query: Side, gallery: Side) -> Iterator[str]:
    from bench.evaluation.metrics.registry import describe
    from bench.report.tables.wording import markdown_table, queries_in_words
    from bench.runs.sanity_checks import threshold_lines

    alone = ", each asks all the others" if query is gallery else f" ask {len(gallery.vectors):,} items"
    yield f"{len(query.vectors):,} queries{alone}; {query.vectors.shape[1]} dimensions\n"
    found = judged.evaluation
    yield f"{queries_in_words(int((found.per_query['relevant'] > 0).sum()), len(query.vectors))}\n"
    rows = []
    for name, value in found.scores.items():
        low, high = found.ci95.get(name, (math.nan, math.nan))
        theirs = [_number(scores.get(name, math.nan)) for scores in dialects.values()]
        label = f"{name} {describe(name).arrow}".strip()
        rows.append([label, _number(value), _number(low), _number(high), _number(found.macro.get(name)), *theirs])
    yield markdown_table(["metric", "mean", "95 % from", "to", "macro", *dialects], rows, "lr")
    yield ""
    verdict = {True: "ok", False: "FAILED"}
    checks = [
        [c.name, _number(c.value), _number(c.limit), "" if c.limit is None else verdict[c.passed], c.meaning]
        for c in judged.controls
    ]
    yield markdown_table(["control", "value", "limit", "", "meaning"], checks, "lrrl")
    if judged.thresholds is not None:
        yield ""
        yield from (f"- {line}" for line in threshold_lines(judged.thresholds))
    if judged.flags:
        yield ""
        yield from (f"**{flag}**" for flag in judged.flags)


def _number(value: float | None) -> str:
    if value is None or math.isnan(value):
        return ""
    return f"{value:,.4f}" if abs(value) < 1000 else f"{value:,.1f}"
