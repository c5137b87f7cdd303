"""The promise to follow the device: what is learnt moves when told to, and what is made is made beside the pixels.

On a machine with an accelerator the method runs there. On others torch's ``meta`` device stands in for one: its tensors
have shapes and no numbers, and a tensor left on the CPU that meets one there is one that a real device would refuse.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from bench.conformance.embedding import restored
from bench.conformance.trial import CPU, GREY, Trial, try_out
from bench.contract import Method, MethodError, decoder_of, pair_scorer_of, saver_of
from bench.evaluation.inference.embed import embed_images, to_floats

_META = torch.device("meta")
_LEAST_COSINE = 0.999
# These take tensors of two devices, on real ones too: they copy from one to the other, or index by row numbers.
_CROSSING = {"to", "copy_", "type_as", "__getitem__", "__setitem__"}


class _OneDevice(TorchFunctionMode):
    """Within the context a torch function that is given tensors of two devices raises; single numbers may be mixed."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = getattr(func, "__name__", str(func))
        found = sorted({tensor.device.type for tensor in _tensors((args, kwargs or {})) if tensor.ndim > 0})
        if len(found) > 1 and name not in _CROSSING:
            where = " and ".join("its own device" if kind == "meta" else kind for kind in found)
            raise MethodError(
                f"tensors on {where} meet in {name}: make them with device=pixels.device, move them in restore"
            )
        return func(*args, **(kwargs or {}))


def follows_the_device(one: Trial) -> None:
    """On the accelerator, if there is one, and on the stand-in."""
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if accelerator is not None:
        _works_on(one, accelerator)
    if saver_of(one.method) is not None:
        _moves(one)
    else:
        _makes_beside_the_pixels(one)


def _works_on(one: Trial, device: torch.device) -> None:
    """Fit there; what was fitted on the CPU embeds there as it did here."""
    try_out(type(one.method), GREY, device=device)
    if saver_of(one.method) is None:
        return
    there = embed_images(restored(one, device), one.split.images, device=device)
    worst = float(np.sum(there * one.vectors, axis=1).min())
    if not worst > _LEAST_COSINE:
        raise MethodError(f"on {device} its vectors have a cosine as low as {worst:.4f} to the CPU's")


def _moves(one: Trial) -> None:
    """Restore onto the stand-in and use it there; nothing may stay behind on the CPU."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns that numbers copied to the stand-in are lost
        _on_the_stand_in(lambda: _use(restored(one, _META), one, _META))


def _makes_beside_the_pixels(one: Trial) -> None:
    """Use it on the CPU while new tensors are made on the stand-in, unless it says where."""

    def act() -> None:
        with _META:
            _use(one.method, one, CPU)

    _on_the_stand_in(act)


def _on_the_stand_in(act: Callable[[], None]) -> None:
    try:
        act()
    except RuntimeError:
        # A tensor without numbers cannot be looked into (`if x.any()`, `.cpu()`), and a torch function may not know
        # the stand-in: that says nothing against the method, and only a real accelerator could tell more.
        return


def _use(method: Method, one: Trial, device: torch.device) -> None:
    """Do on the device whatever the method can do, and see that what comes back is there."""
    pixels = to_floats(one.split.images.take(slice(0, 4)), CPU).to(device)
    uses: list[tuple[str, Callable[[], tuple[Tensor, ...]]]] = [("embed", lambda: (method.embed(pixels),))]
    decoder, scorer = decoder_of(method), pair_scorer_of(method)
    if decoder is not None:
        vectors = torch.from_numpy(one.vectors[:4]).to(device)
        uses.append(("decode", lambda: (decoder.decode(vectors),)))
    if scorer is not None:
        uses.append(("pair_score", lambda: scorer.pair_score(pixels, pixels)))
    for name, call in uses:
        with torch.inference_mode(), _OneDevice():
            results = call()
        for result in results:
            if result.device != device:
                raise MethodError(f"{name} returned a tensor on another device than its input's")


def _tensors(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors(tuple(value.values()))
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _tensors(item)
