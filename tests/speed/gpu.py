"""What simbench does on a GPU, and the card's own limit beside it, in one process and one table.

    python tests/speed/gpu.py [--minutes 8] [--output results/speed-gpu.md]        (make speed-gpu)

Limits are bare loops, written here: a step of the same network, compiled and captured as one CUDA graph over one
resident batch; the bare forward pass; the bare float32 product and a ``topk`` of it; the decoder alone. No row is begun
once the minutes are over, and the table says so. ``--device cpu --tiny`` runs every line on small sizes, to test the
script where there is no card.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from card import BareStep, Card, bare_forward, products
from features import SIDE, decoded, pictures
from numpy.typing import NDArray
from tabulate import tabulate
from torch import nn

from bench import Images, RunContext, Split, evaluate
from bench.contract import Budget, ImageShape, Resize, no_progress
from bench.evaluation.inference.embed import embed_images
from bench.evaluation.inference.engines import on_engine
from bench.options import build
from bench.registry import get_method
from bench.runs.fitting import MemoryHistory
from bench.runs.provenance import cpu_name, git_commit
from bench.search.gallery_index import IndexBuilder, read_pictures
from bench.search.preparation import Preparation
from bench.training.loop import run_phase
from bench.training.trained import Job

T = TypeVar("T")
HEADERS = ["what", "simbench", "the limit beside it", "share of the limit"]


@dataclass(frozen=True)
class Sizes:
    """How much of everything is measured; the same rows at any size."""

    rounds: int  # of which medians are taken
    methods: tuple[str, ...]
    epochs: float  # of training; of 200 steps or more each
    steps: int  # of an epoch, and of the bare loop
    batches: tuple[int, int]
    images: int  # to embed
    embedded: int  # at once, by the bare network
    networks: tuple[str, ...]
    engines: tuple[str, ...]
    files: int
    rankings: tuple[tuple[int, int, int, int, bool], ...]  # queries, items, dimensions, classes, self excluded


FULL = Sizes(
    rounds=3,
    methods=("arcface", "triplet", "supcon", "softmax", "siamese", "multi_similarity", "proxy_anchor"),
    epochs=3.0,
    steps=400,
    batches=(128, 1_024),
    images=8_192,
    embedded=256,
    networks=("resnet50", "vit_base_patch16_224", "tf_efficientnet_lite0"),
    engines=("torch", "inductor"),
    files=4_000,
    rankings=(
        (10_000, 60_000, 128, 10, False),
        (5_000, 60_502, 512, 11_316, True),
        (10_000, 1_000_000, 128, 1_000, False),
    ),
)
TINY = Sizes(
    rounds=1,
    methods=("arcface",),
    epochs=0.005,
    steps=1,
    batches=(8, 16),
    images=2,
    embedded=2,
    networks=("resnet10t",),
    engines=("torch",),  # on a CPU it compiles for half a minute
    files=2,
    rankings=((20, 60, 8, 4, False), (10, 60, 8, 20, True)),
)


# ---------------------------------------------------------------------------------------------------------- training


def context(device: torch.device, history: MemoryHistory) -> RunContext:
    def bar(items: Iterable[T], *, total: int, what: str) -> Iterable[T]:
        return items

    names = tuple("0123456789")
    return RunContext(0, device, names, True, Budget(), Forgetful(), history, bar, lambda line: None)


class Forgetful:
    """Checkpoints that keep nothing: a disk is not what is measured."""

    def save(self, name: str, tensors: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        del name, tensors, facts

    def load(self, name: str) -> None:
        del name


def made_up(count: int, height: int, width: int, channels: int) -> Split:
    pixels = np.random.default_rng(0).integers(0, 256, (count, height, width, channels), dtype=np.uint8)
    return Split(Images(pixels), np.arange(count, dtype=np.int64) % 10, np.arange(count).astype(np.str_))


def our_rate(card: Card, name: str, split: Split, batch: int, epochs: float, *, compiled: bool) -> float:
    """Return images a second of our own training in its last epoch: the first one warms up."""
    method: Any = build(get_method(name), {"batch_size": batch, "compile": compiled}, owner=f"method {name}")
    history = MemoryHistory()
    run = context(card.device, history)
    torch.manual_seed(0)
    method.build(split.images.shape, 10, device=card.device, weights="none", decoding=False)
    method.embedder.measure(split)
    if compiled:
        method.embedder.encoder.compile()
    stage = method.stages(Job(split, split.subset(np.zeros(0, np.int64)), run))[0]
    run_phase(stage.make(epochs), stage.batches, run)
    before, last = [{"step": 0, "seconds": 0.0}, *history.rows()][-2:]
    return batch * (float(last["step"]) - float(before["step"])) / (float(last["seconds"]) - float(before["seconds"]))


def training(card: Card, sizes: Sizes) -> Iterator[list[str]]:
    """Yield the rows of training, against the fastest of three bare loops over the same network."""
    small, large = sizes.batches
    for shape, batch, names in (
        ((32, 32, 3), small, sizes.methods),
        ((32, 32, 3), large, sizes.methods[:2]),
        ((28, 28, 1), small, sizes.methods[:1]),
    ):
        split = made_up(batch * sizes.steps, *shape)
        bare: dict[str, Callable[[], object]] = {
            "eager": BareStep(card, split, batch, compiled=False),
            "captured": card.captured(BareStep(card, split, batch, compiled=False)),
            "compiled and captured": card.captured(BareStep(card, split, batch, compiled=card.is_gpu)),
        }
        rates = {name: batch / card.seconds_each(step, sizes.steps, sizes.rounds) for name, step in bare.items()}
        told = "; ".join(f"{name} {rate:,.0f}" for name, rate in rates.items())
        for name in names:
            for compiled in (False, True) if card.is_gpu and name == names[0] else (False,):  # compiling takes long
                rate = our_rate(card, name, split, batch, sizes.epochs, compiled=compiled)
                what = f"training, {name}{', compile=true' if compiled else ''}, {shape[0]}x{shape[1]}x{shape[2]}"
                share = f"{rate / max(rates.values()):.2f}"
                yield [f"{what}, batch {batch:,}", f"{rate:,.0f} images/s", f"bare loop: {told}", share]


# --------------------------------------------------------------------------------------------------------- embedding


def fitted(card: Card, model: str, split: Split) -> Any:
    options = {"model": model, "weights": "none", "precision": "auto", "center": False}
    method = build(get_method("pretrained"), options, owner="method pretrained")
    method.fit(split, split, context(card.device, MemoryHistory()))
    return method


def embedding(card: Card, sizes: Sizes) -> Iterator[list[str]]:
    """Yield the rows of embedding images that lie in memory, and JPEG files."""
    split = made_up(sizes.images, SIDE, SIDE, 3)
    for model in sizes.networks:
        method = fitted(card, model, split)
        limit = bare_forward(card, deepcopy(method.backbone), split, sizes.embedded)
        name = f"bare network, compiled, batch {sizes.embedded}"
        for engine in sizes.engines:
            embedder, _ = on_engine(method, engine, split.images, device=card.device, threads=1)
            ours = partial(embed_images, embedder, split.images, device=card.device)
            mine, theirs = card.paired(ours, limit, sizes.rounds)
            what = f"pretrained, {model}, --engine {engine}, {SIDE} px, in memory"
            yield _rates(what, name, len(split), mine, theirs)
    yield from from_files(card, sizes, fitted(card, sizes.networks[0], split), split)


def from_files(card: Card, sizes: Sizes, method: Any, split: Split) -> Iterator[list[str]]:
    """Yield the rows of a folder of photographs, against the decoder alone and against the network alone.

    As ``simbench embed`` does it, a batch computed while the next are decoded; and as a data set's first run does it,
    which has all pictures decoded into the cache before.
    """
    network = bare_forward(card, method.backbone, split, sizes.embedded)
    with pictures(None, sizes.files) as paths:
        alone = card.seconds(network) * len(paths) / len(split)
        cases = [("as they are embedded, one process", *at_once(card, method, split, paths))]
        for decoder in ("pillow", *(("torchcodec",) if find_spec("torchcodec") else ())):
            first: Callable[[], Images] = partial(decoded, paths, decoder, card.device.type)
            cases += [(f"before, by {decoder}", partial(embedded, method, first, card.device), first)]
        for how, ours, read in cases:
            what = f"JPEG files, {sizes.networks[0]}, {SIDE} px, decoded {how}"
            mine, decoding = card.paired(ours, read, sizes.rounds)
            yield _rates(what, "decoder alone", len(paths), mine, decoding)
            yield _rates(what, "network alone", len(paths), mine, alone)


def at_once(
    card: Card, method: Any, split: Split, paths: list[Path]
) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return what decodes and embeds a folder at once, and what decodes it alone."""
    root, names = paths[0].parent, [path.name for path in paths]
    embedder = FolderEmbedder(method, split.images.shape, card.device)

    def ours() -> None:
        builder = IndexBuilder(names, np.zeros((len(names), 3), np.int64), embedder.dimension)
        with tempfile.TemporaryDirectory() as made:
            builder.embed(root, embedder, Path(made) / "index.safetensors", no_progress)

    def read() -> None:
        for _ in read_pictures(root, names, Preparation.of(embedder.shape, embedder.resize)):
            pass

    return ours, read


class FolderEmbedder:
    """A fitted method as what embeds a folder (`bench.search.gallery_index.Embedder`)."""

    identity = "speed"

    def __init__(self, method: Any, shape: ImageShape, device: torch.device) -> None:
        self._method, self._device = method, device
        self.shape, self.resize = shape, Resize(shape.height, shape.width)
        self.dimension = self.embed(np.zeros((1, shape.height, shape.width, shape.channels), np.uint8)).shape[1]

    def embed(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        return embed_images(self._method, Images(pixels), device=self._device)


def embedded(method: Any, read: Callable[[], Images], device: torch.device) -> None:
    embed_images(method, read(), device=device)


def _rates(what: str, name: str, images: int, mine: float, theirs: float) -> list[str]:
    share = f"{theirs / mine:.2f}"
    return [what, f"{images / mine:,.0f} images/s", f"{name}: {images / theirs:,.0f} images/s", share]


# ----------------------------------------------------------------------------------------------------------- ranking


def ranking(card: Card, sizes: Sizes) -> Iterator[list[str]]:
    """Yield the rows of exact evaluation, every metric and interval, of vectors that lie on the device."""
    for queries, items, dim, classes, within in sizes.rankings:
        what = f"evaluation, {queries:,} x {items:,} x {dim}, {classes:,} classes{', self excluded' if within else ''}"
        yield evaluation(
            card, what, vectors(card, queries, items, dim, classes, within=within), sizes.rounds, within=within
        )


def evaluation(card: Card, what: str, sides: tuple[Any, ...], rounds: int, *, within: bool) -> list[str]:
    """Return the row of one evaluation. sides: what ``vectors`` returns."""
    query, gallery = sides[0], sides[2]
    ids: dict[str, Any] = {"query_ids": range(len(query)), "gallery_ids": range(len(gallery))} if within else {}
    score = partial(evaluate, *sides, normalize=False, device=str(card.device), **ids)
    mine, product = card.paired(score, partial(products, query, gallery, 0), rounds)
    found = card.seconds(partial(products, query, gallery, 50))
    limit = f"product {1e3 * product:.1f} ms; with topk(50) {1e3 * found:.1f} ms"
    return [what, f"{1e3 * mine:,.0f} ms", limit, f"{product / mine:.3f}"]


def vectors(card: Card, queries: int, items: int, dim: int, classes: int, *, within: bool) -> tuple[Any, ...]:
    """Return unit vectors around class centres on the device, and their labels; within: the queries are items too."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, items)
    draw = torch.Generator().manual_seed(0)
    centres = torch.randn(classes, dim, generator=draw)
    gallery = nn.functional.normalize(centres[labels] + 3 * torch.randn(items, dim, generator=draw), dim=1)
    if within:
        return gallery[:queries].to(card.device), labels[:queries], gallery.to(card.device), labels
    asked = rng.integers(0, classes, queries)
    query = nn.functional.normalize(centres[asked] + 3 * torch.randn(queries, dim, generator=draw), dim=1)
    return query.to(card.device), asked, gallery.to(card.device), labels


# -------------------------------------------------------------------------------------------------------------- table


def rows(card: Card, sizes: Sizes, minutes: float) -> list[list[str]]:
    """Return every row that was begun within the minutes; what was not reached is told in a last one."""
    began, found = time.perf_counter(), []
    for part in (ranking, training, embedding):
        for row in part(card, sizes):
            sys.stderr.write(" | ".join(row) + "\n")
            found.append(row)
            if time.perf_counter() - began > 60 * minutes:
                return [
                    *found,
                    [f"the {minutes:g} minutes ended in {part.__name__}", "", "what follows is missing", ""],
                ]
    return found


def page(table: list[list[str]], card: Card) -> str:
    commit, dirty = git_commit(Path(__file__).parents[2])
    name = torch.cuda.get_device_name(card.device) if card.is_gpu else cpu_name()
    text = tabulate(table, HEADERS, tablefmt="pipe", disable_numparse=True)
    return (
        f"# Speed on a GPU\n\nMade by `make speed-gpu`: ours and the limit in one process.\n\n{text}\n\n"
        f"{datetime.now(UTC):%Y-%m-%d}, {name}, {cpu_name()}, Python {platform.python_version()}, torch "
        f"{torch.__version__}, commit {str(commit)[:10]}{'+' if dirty else ''}.\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="small sizes: the script itself is tried, nothing measured")
    parser.add_argument("--output", type=Path, help="a file to write the table to")
    asked = parser.parse_args()
    card = Card(torch.device(asked.device))
    if card.is_gpu and not torch.cuda.is_available():
        parser.error("torch finds no CUDA device here; --device cpu --tiny tries the script")
    torch.backends.cuda.matmul.fp32_precision = "ieee"
    text = page(rows(card, TINY if asked.tiny else FULL, asked.minutes), card)
    if asked.output is not None:
        asked.output.write_text(text, encoding="utf-8")
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
