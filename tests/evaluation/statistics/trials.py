"""Trials of the intervals and verdicts on simulated rankings: how often they are right.

``python -m tests.evaluation.statistics.trials --write docs/design/statistics-trials.md`` makes the page, in an hour of
processor time. Images are drawn around their class's place in a few dimensions, and two embeddings of one kind see each
of them with noise of their own; both are ranked, with every group left out, by the code that runs use.
"""

from __future__ import annotations

import argparse
import os
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import TypeVar

import numpy as np

from bench.evaluation.metrics import ranking
from bench.evaluation.ranking.arrays import Floats, Ints
from bench.evaluation.ranking.backend import RankedBlock
from bench.evaluation.ranking.engine import rank_gallery
from bench.evaluation.ranking.retrieval_set import RetrievalSet
from bench.evaluation.replicates import Ranked
from bench.evaluation.statistics.estimates import Measured, estimate
from bench.evaluation.statistics.jackknife import groups_of_classes, groups_of_images
from bench.evaluation.statistics.paired_tests import compare, compare_with_best
from bench.files import replacing
from bench.report.compare.named_rows import find_entry
from bench.report.tables.entries import entry_of

T = TypeVar("T")

DIMENSIONS = 6
SPREAD = 0.9  # of the class's places, where an image is 1 from its own
METRIC = "map"


@dataclass(frozen=True)
class Cell:
    """A test set: n images of so many classes, cut by a protocol. other: whether classes are drawn anew, too."""

    protocol: str
    classes: int
    images: int
    other: bool = False


@dataclass(frozen=True)
class Found:
    """What trials of a cell gave. false: share of like embeddings told apart; covered: of intervals with the truth."""

    trials: int
    false: float
    covered: float


class World:
    """Classes with their places; they stay for all trials of a cell, or are drawn for each."""

    def __init__(self, cell: Cell, rng: np.random.Generator) -> None:
        self.cell, self.rng = cell, rng
        self.places = self._drawn()

    def _drawn(self) -> Floats:
        return SPREAD * self.rng.standard_normal((self.cell.classes, DIMENSIONS))

    def embeddings(self, count: int, better: float = 0.0) -> tuple[list[Floats], Ints]:
        """Return so many embeddings of images drawn anew, ``(n, d)``, and their labels; the last less noisy."""
        if self.cell.other:
            self.places = self._drawn()
        labels = np.arange(self.cell.images) % self.cell.classes
        images = self.places[labels] + 0.7 * self.rng.standard_normal((self.cell.images, DIMENSIONS))
        noise = [0.7] * (count - 1) + [0.7 - better]
        return [images + one * self.rng.standard_normal(images.shape) for one in noise], labels


def measured(cell: Cell, vectors: Floats, labels: Ints) -> Measured:
    """Rank a test set as its protocol cuts it, and again without every group."""
    n = len(labels)
    asks = np.arange(n) if cell.protocol == "loo" else np.flatnonzero(np.arange(n) // cell.classes % 5 == 0)
    gallery = asks if cell.protocol == "loo" else np.setdiff1d(np.arange(n), asks)
    if cell.protocol == "given":  # a gallery that is uneven over the classes
        gallery = gallery[(labels[gallery] % 2 == 0) | (np.arange(len(gallery)) % 2 == 0)]
    data = RetrievalSet.of(
        vectors[asks], labels[asks], vectors[gallery], labels[gallery], query_ids=asks, gallery_ids=gallery
    )
    blocks = rank_gallery(data.query, data.gallery, data.layout, lambda block: block, keep=1)
    values = {METRIC: np.concatenate([_score(block, labels)[METRIC] for block in blocks])}
    first = np.zeros((len(asks), 1), np.int32)  # not asked for: everything is ranked again
    whole = Ranked(data, _score, values, first, first.astype(np.float32), full=True)
    both = data.query_labels, data.gallery_labels
    groups = groups_of_classes(both) if cell.other else groups_of_images(both, data.images)
    assert groups is not None
    score = np.array([np.nanmean(values[METRIC])])
    return Measured(score, whole.replicates(groups, threads=1)[METRIC][None])


def _score(block: RankedBlock, labels: Ints) -> dict[str, Floats]:
    del labels
    return {METRIC: ranking.average_precision(block.pessimistic)}


def alike(cell: Cell, trials: int, seed: int = 0) -> Found:
    """Return how often two like embeddings are told apart, and how often the interval holds the true mean."""
    world = World(cell, np.random.default_rng((seed, cell.classes, cell.images)))
    means, ends, told = [], [], 0
    for _ in range(trials):
        (one, other), labels = world.embeddings(2)
        a, b = measured(cell, one, labels), measured(cell, other, labels)
        told += compare(a, [b])[0].separable
        for found in map(estimate, (a, b)):
            means.append(found.mean)
            ends.append((found.low, found.high))
    low, high = np.array(ends).T
    truth = float(np.mean(means))
    return Found(trials, told / trials, float(((low <= truth) & (truth <= high)).mean()))


def best_of(count: int, trials: int, seed: int = 0) -> float:
    """Return in which share of tables of like methods some row is told from the best (loo, 5 classes, 200 images)."""
    cell = Cell("loo", 5, 200)
    world = World(cell, np.random.default_rng((seed, count)))
    wrong = 0
    for _ in range(trials):
        vectors, labels = world.embeddings(count)
        rows = sorted((measured(cell, one, labels) for one in vectors), key=lambda one: -one.scores[0])
        wrong += any(one.separable for one in compare_with_best(rows[0], rows[1:]))
    return wrong / trials


def power(cell: Cell, trials: int, seed: int = 0) -> tuple[float, float]:
    """Return the share of trials that tell a true difference, and that difference over the mean detectable one.

    The less noisy embedding's lead is tuned on other draws until it is what the trials call detectable.
    """
    rng = partial(np.random.default_rng, (seed, 11))
    better = 0.0
    for _ in range(6):
        gap, reach = _gap(World(cell, rng()), better, cell, 60)
        better += 0.15 * (1 - gap / reach) * (1 if better else 0.6)
    world, told, gaps, reaches = World(cell, np.random.default_rng((seed, 12))), 0, [], []
    for _ in range(trials):
        (one, other), labels = world.embeddings(2, better)
        a, b = measured(cell, one, labels), measured(cell, other, labels)
        found = compare(a, [b])[0]
        told += found.separable and found.difference > 0
        gaps.append(found.difference)
        reaches.append(found.detectable)
    return told / trials, float(np.mean(gaps) / np.mean(reaches))


def _gap(world: World, better: float, cell: Cell, trials: int) -> tuple[float, float]:
    found = []
    for _ in range(trials):
        (one, other), labels = world.embeddings(2, better)
        found.append(compare(measured(cell, one, labels), [measured(cell, other, labels)])[0])
    return float(np.mean([one.difference for one in found])), float(np.mean([one.detectable for one in found]))


def splits(folder: Path, metric: str = METRIC, count: int = 200, seed: int = 0) -> tuple[float, int]:
    """Return in which share of random splits three seeds of a method are told from three others, and of how many seeds.

    folder: of one setting's finished runs, ``seed0``, ``seed1``, ...
    """
    runs = find_entry(str(folder), folder).runs
    rng, wrong = np.random.default_rng(seed), 0
    for _ in range(count):
        drawn = [runs[at] for at in rng.permutation(len(runs))[:6]]
        one, other = (entry_of(half).measured(metric) for half in (drawn[:3], drawn[3:]))
        wrong += compare(one, [other])[0].separable
    return wrong / count, len(runs)


def cells() -> Iterator[Cell]:
    """Every cell of the page."""
    for protocol, classes in product(("loo", "holdout", "database", "given"), (2, 5, 9, 20, 100)):
        yield Cell(protocol, classes, 400 if classes == 100 else 200)
    for classes in (2, 9, 100):
        yield Cell("loo", classes, 1000)
    for classes in (3, 5, 9, 20, 100):
        yield Cell("loo", classes, max(200, 4 * classes), other=True)


def known(task: Callable[..., T], subject: object, trials: int, keep: Path) -> T:
    """Return what a task found in so many trials of a subject: from the file that keeps it, else found and kept."""
    path = keep / f"{task.__name__}-{trials}-{subject}.pickle"
    if not path.is_file():
        found = task(subject, trials)
        keep.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_bytes(pickle.dumps(found))
    result: T = pickle.loads(path.read_bytes())
    return result


def page(trials: int, workers: int, keep: Path) -> str:
    """Return the page, Markdown. keep: where cells are kept as they come, so that a stopped start goes on."""
    every = list(cells())
    lines = [
        "# Trials of intervals and verdicts",
        "",
        f"Made by `python -m tests.evaluation.statistics.trials --write FILE`: {trials} simulated test sets a row. Two",
        "like embeddings should be told apart in 5 % of them, and the 95 % interval should hold the true mean in 95 %;",
        "less of the first and more of the second is the safe side. [How both are made](statistics.md).",
        "",
        "| classes are | protocol | classes | images | told apart, though alike | interval holds the mean |",
        "|---|---|---:|---:|---:|---:|",
    ]
    with ProcessPoolExecutor(workers) as pool:
        for cell, found in zip(every, pool.map(partial(known, alike, trials=trials, keep=keep), every), strict=True):
            kind = "drawn anew" if cell.other else "the same"
            lines.append(
                f"| {kind} | {cell.protocol} | {cell.classes} | {cell.images:,} | {found.false:.1%} "
                f"| {found.covered:.1%} |"
            )
        counts = (2, 5, 14, 20)
        lines += ["", "Tables of like methods in which any row is told from the best (at most 5 % should be):", ""]
        lines += ["| methods | tables with a false verdict |", "|---:|---:|"]
        for count, wrong in zip(
            counts, pool.map(partial(known, best_of, trials=trials, keep=keep), counts), strict=True
        ):
            lines.append(f"| {count} | {wrong:.1%} |")
    told, share = known(power, Cell("loo", 9, 200), trials, keep)
    lines += [
        "",
        f"A true difference of {share:.2f} times the stated detectable one (loo, 9 classes, 200 images) was found in "
        f"{told:.1%} of {trials} test sets; 80 % is what is stated.",
        "",
    ]
    return "\n".join(lines)


def main(write: Callable[[str], object] = print) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 1))
    parser.add_argument("--write", metavar="FILE", help="The page to write; without it, it is printed.")
    parser.add_argument("--keep", metavar="DIR", type=Path, default=Path("runs/trials"), help="Where cells are kept.")
    parser.add_argument("--splits", metavar="RUNS", type=Path, help="Only split the seeds of one setting in two.")
    asked = parser.parse_args()
    if asked.splits is not None:
        share, seeds = splits(asked.splits)
        write(f"{share:.1%} of 200 splits of {seeds} seeds of one method are told apart")
        return
    text = page(asked.trials, asked.workers, asked.keep)
    write(text) if asked.write is None else Path(asked.write).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
