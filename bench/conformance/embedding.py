"""What a method promises of its vectors, and of the abilities it declares."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch

from bench.conformance.trial import COLOUR, CPU, Surroundings, Trial, fresh, made_up, require_same, try_out
from bench.contract import (
    Images,
    Method,
    MethodError,
    SimbenchError,
    decoder_of,
    pair_scorer_of,
    parameters_of,
    saver_of,
)
from bench.evaluation.inference.embed import decode_vectors, embed_images, embed_pixels, to_floats
from bench.evaluation.ranking.arrays import Vectors
from bench.training.checkpoints import load_tensors, save_tensors

_FEW = 8
_decode, _embed = partial(decode_vectors, device=CPU), partial(embed_images, device=CPU)


def unit_length(one: Trial) -> None:
    """The harness can make unit vectors of them: no row is zero, not a number, or too small to be scaled."""
    if len(one.vectors) != len(one.split):
        raise SimbenchError(f"{len(one.split)} images gave {len(one.vectors)} vectors")
    worst = float(np.abs(np.linalg.norm(one.vectors.astype(np.float64), axis=1) - 1).max())
    if not worst <= 1e-5:
        raise SimbenchError(f"lengths are off 1 by up to {worst:.2g}")


def even_images(one: Trial) -> None:
    """Black and white images exist in every large data set, and one zero vector fails a whole run."""
    shape = (1, one.shape.height, one.shape.width, one.shape.channels)
    levels = (0, 128, 255)
    _embed(one.method, Images(np.concatenate([np.full(shape, level, np.uint8) for level in levels])))


def alone_as_in_a_batch(one: Trial) -> None:
    """Embedding a batch of one is what the search of an own image does."""
    require_same(one.vectors[:_FEW], embed_images(one.method, _first(one), device=CPU, batch_size=1))


def whatever_else_is_in_the_batch(one: Trial) -> None:
    """Beside quite other images too: statistics of the batch (batch norm left in training) must not matter."""
    others = 255 - made_up(one.shape, 1, 4 * _FEW, 2).images.pixels
    mixed = Images(np.concatenate([_first(one).take(slice(None)), others]))
    require_same(one.vectors[:_FEW], _embed(one.method, mixed)[:_FEW])


def in_any_order(one: Trial) -> None:
    """A vector belongs to its image, not to its place."""
    order = np.random.default_rng(0).permutation(len(one.split))
    require_same(one.vectors[order], _embed(one.method, one.split.images.subset(order)))


def leaves_its_input_alone(one: Trial) -> None:
    """The same batch serves the timing, the decoder's error and the pictures afterwards."""
    pixels = _pixels(one)
    before = pixels.clone()
    embed_pixels(one.method, pixels)
    if not torch.equal(before, pixels):
        raise SimbenchError("embed changed the pixels it was given")


def leaves_no_gradient(one: Trial) -> None:
    """The same vectors where gradients are recorded as in inference mode; nothing but the vectors is new."""
    found, pixels = Surroundings.now(), _pixels(one)
    with torch.enable_grad():
        outside = one.method.embed(pixels).detach().float()
    changed = found.changes()
    if changed:
        raise SimbenchError(f"embed changed {', '.join(changed)}")
    if pixels.requires_grad:
        raise MethodError("embed made the pixels record a gradient")
    unit = torch.nn.functional.normalize(outside, dim=1).numpy()
    require_same(one.vectors[:_FEW], unit, "unit vectors within and without inference mode")


def _first(one: Trial) -> Images:
    return one.split.images.subset(np.arange(min(_FEW, len(one.split)), dtype=np.int64))


def _pixels(one: Trial) -> torch.Tensor:
    return to_floats(_first(one).take(slice(None)), CPU)


def survives_saving(one: Trial) -> None:
    """A fresh object with the saved state embeds, decodes, scores and counts like the one that was fitted."""
    again = restored(one, CPU)
    require_same(one.vectors, _embed(again, one.split.images))
    before, after = parameters_of(one.method), parameters_of(again)
    if before != after:
        raise SimbenchError(f"it had {before} parameters and has {after}")
    decoder, decoder_again = decoder_of(one.method), decoder_of(again)
    if (decoder is None) != (decoder_again is None):
        raise SimbenchError(f"it could {'not decode and can' if decoder is None else 'decode and cannot'}")
    if decoder is not None and decoder_again is not None:
        few = one.vectors[:_FEW]
        require_same(_decode(decoder, few), _decode(decoder_again, few), "decoded images")
    if pair_scorer_of(one.method) is not None:
        left, right = _pairs(one)
        for ours, theirs in zip(_score(one.method, left, right), _score(again, left, right), strict=True):
            require_same(ours, theirs, "scores of pairs")


def restored(one: Trial, device: torch.device) -> Method:
    """Return a fresh object with the method's state, which went through a file, on the device."""
    again = fresh(type(one.method))
    saver, reader = saver_of(one.method), saver_of(again)
    if saver is None or reader is None:
        raise SimbenchError("state() and restore() must both be there")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        save_tensors(path, saver.state())
        reader.restore(load_tensors(path)[0], one.shape, device)
    return again


def counts(one: Trial) -> None:
    """The column ``parameters`` of the tables is an integer."""
    number = parameters_of(one.method)
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise SimbenchError(f"count_parameters must return a whole number of at least 0, got {number!r}")


def decodes(one: Trial) -> None:
    """In shape and range, of its own vectors and of any others of unit length, alone as in a batch."""
    decoder = decoder_of(one.method)
    if decoder is None:
        raise SimbenchError("it decoded other images, but not these")
    strange = np.random.default_rng(0).normal(size=(_FEW, one.vectors.shape[1])).astype(np.float32)
    vectors = np.concatenate([one.vectors[:_FEW], strange / np.linalg.norm(strange, axis=1, keepdims=True)])
    before = vectors.copy()
    images, shape = _decode(decoder, vectors), one.shape
    if images.shape[1:] != (shape.channels, shape.height, shape.width):
        raise SimbenchError(f"images of {shape} came back as {images.shape[1:]}")
    if not np.array_equal(before, vectors):
        raise SimbenchError("decode changed the vectors it was given")
    for row in (0, len(vectors) - 1):
        require_same(
            images[row : row + 1], _decode(decoder, vectors[row : row + 1]), "images decoded alone and in a batch"
        )


def decodes_colour(one: Trial) -> None:
    """Channels, height and width are each the data's own."""
    decodes(try_out(type(one.method), COLOUR))


def scores_pairs(one: Trial) -> None:
    """Cosines in [-1, 1] and probabilities in [0, 1], the same both ways round; an image with itself has cosine 1."""
    left, right = _pairs(one)
    cosine, probability = _score(one.method, left, right)
    for name, values, low in (("cosine", cosine, -1.0), ("probability", probability, 0.0)):
        if values.shape != (len(left),):
            raise MethodError(f"pair_score must return a {name} of shape ({len(left)},), got {values.shape}")
        if not (values.min() >= low - 1e-5 and values.max() <= 1 + 1e-5):  # so written, not-a-number fails too
            raise MethodError(f"pair_score's {name} must be in [{low:g}, 1], got {values.min():g} to {values.max():g}")
    turned = _score(one.method, right, left)
    require_same(cosine, turned[0], "cosines of a pair and of the pair turned round")
    require_same(probability, turned[1], "probabilities of a pair and of the pair turned round")
    require_same(_score(one.method, left, left.clone())[0], np.ones(len(left), np.float32), "cosines to itself and 1")


def _pairs(one: Trial) -> tuple[torch.Tensor, torch.Tensor]:
    """Return pairs of equal and of different labels as two batches, in turn: an image's label is its row modulo 3."""
    left = np.arange(_FEW)
    right = left + 9 + left % 2
    first, second = (to_floats(one.split.images.take(rows), CPU) for rows in (left, right))
    return first, second


def _score(method: Method, left: torch.Tensor, right: torch.Tensor) -> tuple[Vectors, Vectors]:
    scorer = pair_scorer_of(method)
    if scorer is None:
        raise SimbenchError("pair_score() is not there any more")
    with torch.inference_mode():
        cosine, probability = scorer.pair_score(left, right)
    if not (cosine.is_floating_point() and probability.is_floating_point()):
        raise MethodError(f"pair_score must return floating-point, got {cosine.dtype} and {probability.dtype}")
    return cosine.float().numpy(), probability.float().numpy()
