"""Promises about ``embed``: an image's vector is a property of the image and of nothing else."""

from __future__ import annotations

import numpy as np
import torch

from bench.contract import Images, MethodError, SimbenchError
from bench.evaluation.embedding import embed_images, embed_pixels, to_floats
from bench.runs.conformance.surroundings import Surroundings
from bench.runs.conformance.trial import CPU, Trial, made_up, require_same

_FEW = 8


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
    embed_images(one.method, Images(np.concatenate([np.full(shape, level, np.uint8) for level in levels])), device=CPU)


def alone_as_in_a_batch(one: Trial) -> None:
    """Embedding a batch of one is what the search of an own image does."""
    require_same(one.vectors[:_FEW], embed_images(one.method, _first(one), device=CPU, batch_size=1))


def whatever_else_is_in_the_batch(one: Trial) -> None:
    """Beside quite other images too: statistics of the batch (batch norm left in training) must not matter."""
    others = 255 - made_up(one.shape, 1, 4 * _FEW, 2).images.pixels
    mixed = Images(np.concatenate([_first(one).take(slice(None)), others]))
    require_same(one.vectors[:_FEW], embed_images(one.method, mixed, device=CPU)[:_FEW])


def in_any_order(one: Trial) -> None:
    """A vector belongs to its image, not to its place."""
    order = np.random.default_rng(0).permutation(len(one.split))
    require_same(one.vectors[order], embed_images(one.method, one.split.images.subset(order), device=CPU))


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
