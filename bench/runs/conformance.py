"""The promises every method makes, checked by using it: what ``simbench check METHOD`` and our own tests run."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from bench.contract import Budget, FitContext, Images, ImageShape, Method, SimbenchError, Split, decoder_of, saver_of
from bench.evaluation.arrays import Vectors
from bench.evaluation.embedding import decode_vectors, embed_images
from bench.options import build
from bench.registry import get_method
from bench.runs.history import MemoryHistory
from bench.training.checkpoints import FolderCheckpoints, load_tensors, save_tensors

T = TypeVar("T")

_CPU = torch.device("cpu")
_CLOSE = 1e-3  # largest difference of two unit vectors' components that counts as equal


@dataclass(frozen=True)
class Finding:
    """One promise and whether it was kept; detail says how it was broken."""

    promise: str
    good: bool
    detail: str = ""


@dataclass(frozen=True)
class _Fitted:
    method: Method
    split: Split
    vectors: Vectors


def check_method(name: str) -> Iterator[Finding]:
    """Yield one finding a promise. The method is trained for moments on small made-up images; nothing is written."""
    grey, colour = ImageShape(28, 28, 1), ImageShape(13, 20, 3)
    fitted: list[_Fitted] = []

    def learns() -> None:
        fitted.append(_fit(name, grey))

    yield _try("fits and embeds grey 28x28 images as finite vectors that are not zero", learns)
    if not fitted:
        return
    one = fitted[0]
    yield _try("embeds an image alike alone and in a batch", lambda: _batch_of_one(one))
    yield _try("gives the same vectors for the same seed", lambda: _same(one.vectors, _fit(name, grey).vectors))
    yield _try("accepts colour images that are not square (13x20)", lambda: _fit(name, colour))
    yield _try("accepts 8x8 images", lambda: _fit(name, ImageShape(8, 8, 1)))
    large = ImageShape(224, 160, 3)
    yield _try("accepts colour photographs (224x160)", lambda: _fit(name, large, count=2, validation=0))
    yield _try("accepts a single class", lambda: _fit(name, grey, classes=1))
    yield _try("accepts two images and no validation split", lambda: _fit(name, grey, count=2, validation=0))
    if saver_of(one.method) is not None:
        yield _try("embeds the same after saving and loading", lambda: _survives_saving(name, one))
    if decoder_of(one.method) is not None:
        yield _try("decodes to images of the data's own shape in [0, 1]", lambda: _decodes(one))
        yield _try("decodes colour images that are not square", lambda: _decodes(_fit(name, colour)))


def _fit(name: str, shape: ImageShape, *, classes: int = 3, count: int = 48, validation: int = 12) -> _Fitted:
    train, seen = _made_up(shape, classes, count, 0), _made_up(shape, classes, validation, 1)
    method: Method = build(get_method(name), {}, owner=f"method {name}")
    with tempfile.TemporaryDirectory() as folder:
        context = FitContext(
            seed=0,
            device=_CPU,
            classes=tuple(map(str, range(classes))),
            mirror=True,
            budget=Budget(epochs=0.03),
            checkpoints=FolderCheckpoints(Path(folder)),
            history=MemoryHistory(),
            progress=_no_bar,
            log=lambda line: None,
        )
        method.fit(train, seen, context)
    vectors = embed_images(method, train.images, device=_CPU)
    if vectors.shape[0] != len(train):
        raise SimbenchError(f"{len(train)} images gave {vectors.shape[0]} vectors")
    return _Fitted(method, train, vectors)


def _made_up(shape: ImageShape, classes: int, count: int, seed: int) -> Split:
    """Return images of class-dependent brightness and slope with noise: easy, and no two alike."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int64) % classes
    slope = np.linspace(-1, 1, shape.width)[None, None, :, None]
    base = 90 + 40 * labels[:, None, None, None] * slope
    noise = rng.normal(0, 25, (count, shape.height, shape.width, shape.channels))
    pixels = np.clip(base + noise + 20, 0, 255).astype(np.uint8)
    return Split(Images(pixels), labels, np.array([f"{seed}/{row}" for row in range(count)], dtype=np.str_))


def _batch_of_one(one: _Fitted) -> None:
    first = one.split.images.subset(np.arange(8, dtype=np.int64))
    _same(one.vectors[:8], embed_images(one.method, first, device=_CPU, batch_size=1))


def _same(left: Vectors, right: Vectors) -> None:
    if left.shape != right.shape:
        raise SimbenchError(f"shapes differ: {left.shape} and {right.shape}")
    worst = float(np.abs(left - right).max())
    if worst > _CLOSE:
        raise SimbenchError(f"unit vectors differ by up to {worst:.2g}")


def _survives_saving(name: str, one: _Fitted) -> None:
    saver = saver_of(one.method)
    fresh: Method = build(get_method(name), {}, owner=f"method {name}")
    reader = saver_of(fresh)
    if saver is None or reader is None:
        raise SimbenchError("state() and restore() must both be there")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        save_tensors(path, saver.state())
        reader.restore(load_tensors(path)[0], one.split.images.shape, _CPU)
    _same(one.vectors, embed_images(fresh, one.split.images, device=_CPU))


def _decodes(one: _Fitted) -> None:
    decoder = decoder_of(one.method)
    if decoder is None:
        raise SimbenchError("it decoded other images, but not these")
    images, shape = decode_vectors(decoder, one.vectors[:4], device=_CPU), one.split.images.shape
    if images.shape != (4, shape.channels, shape.height, shape.width):
        raise SimbenchError(f"images of {shape} came back as {images.shape}")


def _try(promise: str, act: Callable[[], object]) -> Finding:
    try:
        act()
    except Exception as error:
        return Finding(promise, good=False, detail=f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}")
    return Finding(promise, good=True)


def _no_bar(items: Iterable[T], *, total: int, what: str) -> Iterable[T]:
    return items
