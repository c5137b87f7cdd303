"""A campaign of faults on a tree of finished runs: does any command ever answer with another number, without a word?

``PYTHONPATH=tests/support python -m tests.faults.campaign --write docs/design/faults.md`` makes the page, in half an
hour on two cores; ``--only flips --first 17 --count 1`` repeats one trial. A trial damages one file of a private
copy of the tree, or its place, and asks a command that reads it. What is right: the answer that the whole tree gave, or
one line that names the file or its run, with the run left out; and a cache may be made again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np

from tests.faults.places import PLACES, in_place
from tests.faults.readers import Answer, make_tree, places_of, readers
from tests.faults.runs_killed import killed

SAME, NAMED, AGAIN = "same answer", "left out or refused by name", "made again"
WRONG, LOST, CRASHED = "another answer, silently", "something else lost", "crashed"
FINE, BAD = (SAME, NAMED, AGAIN), (WRONG, LOST, CRASHED)
COUNTS = {"flips": 1000, "swaps": 100, "truncations": 200, "mutations": 200, "kills": 60, "places": 60}


Ends = Counter[tuple[str, str]]  # by what was damaged, and how the trial ended


class Campaign:
    """What a whole tree answers, and copies of it that trials damage. only: the readers to ask, by name."""

    def __init__(self, whole: Path, folder: Path, copies: int, only: Collection[str] = ()) -> None:
        self.readers = {name: one for name, one in readers(whole).items() if not only or name in only}
        self.free: SimpleQueue[Path] = SimpleQueue()
        for number in range(copies):  # before the readers, one of which makes a run again
            copy = Path(shutil.copytree(whole, folder / f"copy{number}", symlinks=True))
            for name in {"gallery", "decoded"} & set(self.readers):  # a cache is of the pictures at their place
                self.readers[name][0](copy)
            self.free.put(copy)
        self.truth = {name: reader(whole) for name, (reader, _) in self.readers.items()}
        unready = [f"{name}: {answer.told}" for name, answer in self.truth.items() if answer.code]
        if unready:
            raise SystemExit(f"the whole tree does not answer: {unready}")

    def trial(self, kind: str, number: int) -> tuple[str, str, str]:
        """Do one trial: (what was damaged, how it ended, what was said)."""
        rng = np.random.default_rng((sum(map(ord, kind)), number))
        tree = self.free.get()
        try:
            if kind == "kills":
                return killed(tree, rng)
            if kind == "places":
                return in_place(tree, *PLACES[number % len(PLACES)])
            return self._damaged(tree, kind, rng)
        finally:
            self.free.put(tree)

    def _damaged(self, tree: Path, kind: str, rng: np.random.Generator) -> tuple[str, str, str]:
        names = sorted(name for name in self.readers if kind != "mutations" or name in ("tables", "compare", "rerank"))
        name = names[rng.integers(len(names))]
        reader, patterns = self.readers[name]
        files = places_of(tree, patterns)
        if kind == "mutations":
            files = [path for path in files if path.name == "run.json"]
        path = files[rng.integers(len(files))]
        like = [other for other in files if other.name == path.name and other != path]
        if kind == "swaps" and not like:
            return self._damaged(tree, kind, rng)
        partner = [like[rng.integers(len(like))]] if kind == "swaps" else []
        with kept(tree, [path, *partner]):
            DAMAGES[kind](tree, [path, *partner], rng)
            answer = reader(tree)
        about = f"{name} after {path}" + "".join(f" and {one}" for one in partner)
        what = path.name if path.parts[0] == "runs" else path.parts[1]
        end = judged(answer, self.truth[name], [path, *partner])
        return what, end, f"{about}: {answer.told.strip()[-300:]}"


def judged(answer: Answer, truth: Answer, damaged: list[Path]) -> str:
    """Return how a trial ended. damaged: the files, relative to the tree."""
    if answer.crashed:
        return CRASHED
    differing = [run for run, value in truth.numbers.items() if answer.numbers.get(run, value) != value]
    named = any(str(path.parent) in answer.told or path.name in answer.told for path in damaged)
    if answer.numbers == truth.numbers and answer.code == 0:
        return AGAIN if answer.told != truth.told and damaged[0].parts[0] == "cache" else SAME
    if differing and not (differing == [""] and named):  # a page may lack, and name, a part of itself
        return WRONG
    gone = set(truth.numbers) - set(answer.numbers)
    ours = {"", *(run for run in truth.numbers if any(run in str(path) for path in damaged))}
    return NAMED if named and gone <= ours else LOST


@contextmanager
def kept(tree: Path, paths: list[Path]) -> Iterator[None]:
    """Put files back, and the caches and tables with them, when a trial is over."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("runs", "cache"):
            shutil.copytree(tree / name, Path(folder, name))
        try:
            yield
        finally:
            for name in ("runs", "cache"):
                shutil.rmtree(tree / name)
                shutil.copytree(Path(folder, name), tree / name)


def _flip(tree: Path, paths: list[Path], rng: np.random.Generator) -> None:
    content = bytearray((tree / paths[0]).read_bytes())
    content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
    (tree / paths[0]).write_bytes(content)


def _swap(tree: Path, paths: list[Path], rng: np.random.Generator) -> None:
    one, other = ((tree / path).read_bytes() for path in paths)
    (tree / paths[0]).write_bytes(other)
    if rng.integers(2):  # else one is copied over the other
        (tree / paths[1]).write_bytes(one)


def _truncate(tree: Path, paths: list[Path], rng: np.random.Generator) -> None:
    content = (tree / paths[0]).read_bytes()
    (tree / paths[0]).write_bytes(content[: rng.integers(len(content))])


def _mutate(tree: Path, paths: list[Path], rng: np.random.Generator) -> None:
    """Change one value of a run.json, as an editor would: its digest stays."""
    content: Any = json.loads((tree / paths[0]).read_text(encoding="utf-8"))
    inner = content
    while True:
        names = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
        name = names[rng.integers(len(names))]
        if isinstance(inner[name], (dict, list)) and inner[name] and rng.integers(4):
            inner = inner[name]
            continue
        break
    value = inner.pop(name)
    others = [None, "x|y\n<b>", -1, 1e308, [], {}, value]
    chosen = others[rng.integers(len(others))]
    if isinstance(inner, dict):
        inner[name if chosen is not value else f"{name}_"] = chosen
    (tree / paths[0]).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


DAMAGES: dict[str, Callable[[Path, list[Path], np.random.Generator], None]] = {
    "flips": _flip, "swaps": _swap, "truncations": _truncate, "mutations": _mutate,
}  # fmt: skip


def page(found: Mapping[str, Ends]) -> str:
    """Return the page, Markdown."""
    total = sum(sum(one.values()) for one in found.values())
    bad = sum(count for one in found.values() for (_, end), count in one.items() if end in BAD)
    lines = [
        "# A campaign of faults",
        "",
        "Made by `PYTHONPATH=tests/support python -m tests.faults.campaign --write FILE`. A tree of finished runs is",
        "damaged, one fault a trial, and a command that reads what was damaged is asked. It should answer as it did of",
        f"the whole tree, or name what is damaged and leave it out. Of {total:,} trials {bad:,} ended otherwise.",
        "",
        f"| fault | of | trials | {' | '.join((*FINE, *BAD))} |",
        f"|---|---|---:|{'---:|' * len((*FINE, *BAD))}",
    ]
    for kind, counts in found.items():
        for what in sorted({what for what, _ in counts}):
            ends = [counts[what, end] for end in (*FINE, *BAD)]
            lines.append(f"| {kind} | {what} | {sum(ends)} | {' | '.join(map(str, ends))} |")
    return "\n".join([*lines, ""])


def trials(campaign: Campaign, kind: str, numbers: range, workers: int, say: Callable[[str], object]) -> Ends:
    """Do the trials of a kind, say which ended badly, and count how all ended by what was damaged."""
    found: Ends = Counter()
    with ThreadPoolExecutor(workers) as pool:
        for number, (what, end, said) in zip(numbers, pool.map(partial(campaign.trial, kind), numbers), strict=True):
            found[what, end] += 1
            if end in BAD:
                say(f"{kind} {number}: {end}: {said}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=list(COUNTS))
    parser.add_argument("--first", type=int, default=0, help="Number of the first trial of each kind.")
    parser.add_argument("--count", type=int, help="Trials of each kind.")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--write", metavar="FILE", type=Path)
    asked = parser.parse_args()
    kinds = [asked.only] if asked.only else list(COUNTS)
    say = partial(print, flush=True)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        whole = make_tree(Path(folder, "whole"))
        campaign = Campaign(whole, Path(folder), asked.workers)
        for kind in kinds:
            numbers = range(asked.first, asked.first + (asked.count or COUNTS[kind]))
            found[kind] = trials(campaign, kind, numbers, asked.workers, say)
            say(f"{kind}: {sum(found[kind].values())} trials")
    text = page(found)
    say(text) if asked.write is None else asked.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
