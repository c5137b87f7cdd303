"""Write the pages that are made from something else: the index, the commands' help, the data sets' cards.

    python docs/build_pages.py            write them
    python docs/build_pages.py --check    name those that are out of date, and fail if there is one

mkdocs.yml names this file as a hook too: a link that leaves docs/ has no page on the site and becomes the file's name.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import yaml
from click.testing import CliRunner

DOCS = Path(__file__).resolve().parent
_LINK = re.compile(r"(?<!!)\[([^]]+)\]\(([^)\s#]+)(?:#[^)\s]*)?\)")
_WIDTH = 100  # of the commands' help
_HEAD = """# Documentation

*Start* is for the first hour, *guides* say how to do one thing, *reference* says what a name means, *design* says why.
In a hurry: [install](start/install.md), [first run](start/first-run.md), [your own images](start/own-images.md).
From a question: [engineer](start/for-engineers.md), [researcher](start/for-researchers.md),
[student](start/for-students.md).
"""
_COMMANDS = """# Commands

What `simbench COMMAND --help` says, of every command. Each option that takes a value can be given as an environment
variable too ([environment](environment.md)).
"""
_PUBLISHED = """# Published figures

What others have published on the field's benchmarks, to set beside a run here. None of it was run by simbench; the
sources score by code of their own, with other rules for ties. *Frozen*: the network was not trained on the data set;
*trained*: on its train part. What papers call Recall@k is hit@k. Figures of two variants of a data set answer two
questions and are not to be compared ([what each asks](datasets.md)). The best three stand in a line under a table that
asked all of a benchmark's queries. The page is made from `bench/report/tables/published.csv`.
"""
_ENCODERS = """# Pretrained models

Short names for the pretrained models that are asked for most: `-m pretrained -o model=dinov2-small`, and for trained
methods `-o encoder=timm/dinov2-small`; `simbench list models` prints them. Any other model of timm's goes by its own
name. A run's options hold timm's full name, and its key does not depend on which was said. The page is made from
`bench/training/encoders/zoo.csv`; a test compares it with timm.

- **Pixels** is the side of the model's own input. `-o size=224` is several times faster than the 518 of DINOv2, whose
  position embeddings are then resized.
- **Vector** is what the model's layers give before any classifier. Class token: DINOv2, DINOv3, and CLIP before its
  projection to the space of texts. Attention: the model's own pooling head (SigLIP 2; PE-Core, before its projection).
  Mean: of all places. timm pools DINOv3's transformers by the mean of their patches; simbench takes the class token,
  as their makers do. Figures published for CLIP's projected vectors are of other vectors, and are not given here.
- **Licence** is that of the weights, as timm gives it: read it before you use them.
- **Published** are frozen features at other sizes and by other code: CUB-200 and Cars-196 in MIEB's variant
  (https://github.com/embeddings-benchmark/results), revisited Oxford (hard) in the model cards of DINOv2
  (https://github.com/facebookresearch/dinov2 at b8931f7) and DINOv3 (https://github.com/facebookresearch/dinov3 at
  6876159).
"""
_OVERLAPS = """
## Benchmarks in the training data

A run with such a model's own weights on such a data set has a note in its row, *in the encoder's training data*. All
else is **not known**: that a data set is not named here does not say that its pictures were not seen. Nothing is named
of CLIP, SigLIP 2, PE-Core and AIMv2, and of DINOv3 ImageNet alone.

| learnt from | data sets | what is in it | source |
|---|---|---|---|
"""


def pages() -> dict[str, str]:
    """Return every generated page's text by its path under docs/."""
    from bench.cli import cli  # noqa: PLC0415 - the site is built without simbench's own packages

    cards = CliRunner().invoke(cli, ["list", "datasets", "--markdown"], catch_exceptions=False).output
    made = {"reference/cli.md": commands(cli), "reference/datasets.md": cards, "reference/published.md": figures()}
    made["reference/encoders.md"] = encoders()
    return {"index.md": index(made), **made}


def index(made: Mapping[str, str]) -> str:
    """Return the index: every page of mkdocs.yml with its first sentence. made: generated pages, which may be newer."""
    text = _HEAD
    for section in yaml.safe_load((DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]:
        for title, entries in section.items():
            if isinstance(entries, list):
                text += f"\n## {title}\n\n" + "".join(_line(path, made.get(path) or _read(path)) for path in entries)
    return text


def commands(group: click.Group) -> str:
    """Return the help of a group and of all commands below it."""
    return _COMMANDS + "".join(_helps(group, _context(group, "simbench")))


def figures() -> str:
    """Return the page of published figures: a table for each variant of a data set, then the sources."""
    from bench.report.tables.published import SOURCES, published  # noqa: PLC0415 - as in `pages`

    text, before = _PUBLISHED, ""
    for one in published():
        if one.dataset != before:
            text += f"\n## {one.dataset}\n\nProtocol `{one.protocol}`, {one.queries:,} queries.\n\n"
            text += "| method | | metric | figure | source |\n|---|---|---|---|---|\n"
            before = one.dataset
        said = ", ".join(filter(None, [one.learnt, one.note]))
        text += f"| {one.method} | {said} | `{one.metric}` | {one.value} | {one.source} |\n"
    return f"{text}\n## Sources\n\n" + "".join(f"- {name}: {where}\n" for name, where in SOURCES.items())


def encoders() -> str:
    """Return the page of pretrained models: the table, then what is known of benchmarks in their training data."""
    from bench.training.encoders.zoo import OVERLAPS, zoo  # noqa: PLC0415 - as in `pages`

    text = f"{_ENCODERS}\n| name | timm's name | pixels | numbers | vector | learnt from | benchmarks in it | licence |"
    text += " published |\n|---|---|---|---|---|---|---|---|---|\n"
    for one in zoo():
        known = ", ".join(sorted({name for overlap in one.overlaps for name in overlap.datasets})) or "not known"
        cells = [f"`{one.alias}`", f"`{one.model}`", one.size, one.length, one.pooling, one.learnt_from, known]
        text += f"| {' | '.join(map(str, [*cells, one.licence, one.published]))} |\n"
    text += _OVERLAPS
    for overlap in OVERLAPS:
        cells = [", ".join(overlap.learnt_from), ", ".join(overlap.datasets), overlap.how, overlap.source]
        text += f"| {' | '.join(cells)} |\n"
    return text


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links that leave docs/ into the names of the files: mkdocs calls this for every page."""

    def named(link: re.Match[str]) -> str:
        text, target = link.groups()
        if "://" in target or target.startswith("mailto:"):
            return link[0]
        there = ((DOCS / page.file.src_uri).parent / target).resolve()
        if there.is_relative_to(DOCS):
            return link[0]
        name = there.relative_to(DOCS.parent).as_posix()
        return text if name in text else f"{text} (`{name}`)"

    return _LINK.sub(named, markdown)


def _line(path: str, page: str) -> str:
    title, _, rest = page.partition("\n")
    first = next(
        part
        for part in rest.split("\n\n")
        if part.strip() and not part.lstrip().startswith(("#", "!", "```", "|", "- "))
    )
    plain = _LINK.sub(r"\1", " ".join(first.split()))
    return f"- [{title.removeprefix('# ')}]({path}): {re.split(r'(?<=[.!?])(?<!e.g.) ', plain)[0]}\n"


def _helps(command: click.Command, context: click.Context) -> list[str]:
    found = [f"\n## {context.command_path}\n\n```text\n{command.get_help(context)}\n```\n"]
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None:
                found += _helps(below, _context(below, name, context))
    return found


def _read(name: str) -> str:
    path = DOCS / name
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _context(command: click.Command, name: str, parent: click.Context | None = None) -> click.Context:
    return click.Context(command, parent, name, terminal_width=_WIDTH, **command.context_settings or {})


if __name__ == "__main__":
    old = {name: text for name, text in pages().items() if _read(name) != text}
    if "--check" in sys.argv[1:]:
        sys.exit(f"out of date, run `make docs`: {', '.join(old)}" if old else 0)
    for name, text in old.items():
        (DOCS / name).write_text(text, encoding="utf-8", newline="\n")
