"""The list of promises, in the order in which they are checked."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch

from bench.conformance import devices, embedding
from bench.conformance.trial import COLOUR, GREY, Surroundings, Trial, fresh, require_same, try_out
from bench.contract import (
    ImageShape,
    Method,
    SimbenchError,
    decoder_of,
    pair_scorer_of,
    parameters_of,
    saver_of,
    uses_labels,
)
from bench.options import build, values_of
from bench.registry import get_method
from bench.training.encoders.encoder import Encoder, build_encoder

T = TypeVar("T")

_DIM = 16  # of the vectors that encoders are asked for


@dataclass(frozen=True)
class Finding:
    """One promise and whether it was kept; detail says how it was broken."""

    promise: str
    good: bool
    detail: str = ""


def introduces_itself(cls: type[Method]) -> None:
    """Its file's docstring has a first line, which ``simbench list`` shows."""
    module = inspect.getmodule(cls)
    if not (inspect.getdoc(module) or "").partition("\n")[0].strip():
        raise SimbenchError("the file has no docstring, or an empty first line")


def options_survive_run_json(cls: type[Method]) -> None:
    """Every default, written to run.json and read again, makes the same method: that is how a run is reopened."""
    before = values_of(fresh(cls))
    after = values_of(build(cls, json.loads(json.dumps(before)), owner=f"method {cls.__name__}"))
    different = [f"{name} ({value!r} to {after[name]!r})" for name, value in before.items() if after[name] != value]
    if different:
        raise SimbenchError(f"options came back different: {', '.join(different)}")


def same_for_the_same_seed(one: Trial) -> None:
    """Whatever the process has drawn before: a run that is one of many equals the run alone."""
    require_same(one.vectors, try_out(type(one.method), GREY, process_seed=1).vectors)


def learns_without_labels(one: Trial) -> None:
    """A method that says it never looks at labels learns the same whatever they are."""
    if not uses_labels(one.method):  # more images than a batch holds: labels must not decide which come together
        known, exchanged = (try_out(type(one.method), GREY, count=130, relabelled=other) for other in (False, True))
        require_same(known.vectors, exchanged.vectors)


def leaves_the_process_as_it_was(one: Trial) -> None:
    """The next method of a matrix of runs starts where this one did."""
    if one.changed:
        raise SimbenchError(f"fit changed {', '.join(one.changed)}")


_TINY = ImageShape(8, 8, 1)
_DECLARED: tuple[tuple[str, Callable[[type[Method]], None]], ...] = (
    ("says in its docstring's first line what it is", introduces_itself),
    ("has options whose defaults come back from run.json as they were", options_survive_run_json),
)
_USED: tuple[tuple[str, Callable[[Trial], None]], ...] = (
    ("gives vectors that the harness makes unit vectors of", embedding.unit_length),
    ("leaves torch's settings and the training images as they were", leaves_the_process_as_it_was),
    ("gives the same vectors for the same seed", same_for_the_same_seed),
    ("learns the same from other labels, if it says that it uses none", learns_without_labels),
    ("embeds an image alike alone and in a batch", embedding.alone_as_in_a_batch),
    ("embeds an image alike whatever else is in the batch", embedding.whatever_else_is_in_the_batch),
    ("embeds images alike in any order", embedding.in_any_order),
    ("embeds black, grey and white images as vectors that are not zero", embedding.even_images),
    ("does not change the pixels it embeds", embedding.leaves_its_input_alone),
    (
        "embeds alike in inference mode and outside, and leaves neither gradient nor setting",
        embedding.leaves_no_gradient,
    ),
    ("follows the pixels and its state to another device", devices.follows_the_device),
)
_ACCEPTED: tuple[tuple[str, Callable[[type[Method]], Trial]], ...] = (
    ("accepts another seed", partial(try_out, shape=_TINY, count=12, seed=1)),
    ("accepts colour images that are not square (13x20)", partial(try_out, shape=COLOUR)),
    ("accepts 8x8 images", partial(try_out, shape=_TINY)),
    ("accepts colour photographs (224x160)", partial(try_out, shape=ImageShape(224, 160, 3), count=2, validation=0)),
    ("accepts a single class", partial(try_out, shape=GREY, classes=1)),
    ("accepts two images and no validation split", partial(try_out, shape=GREY, count=2, validation=0)),
)
_ABLE: tuple[tuple[str, Callable[[Method], object], Callable[[Trial], None]], ...] = (
    ("embeds, decodes, scores and counts the same after saving and loading", saver_of, embedding.survives_saving),
    ("counts its parameters as a whole number", parameters_of, embedding.counts),
    ("decodes to images of the data's own shape in [0, 1], one as in a batch", decoder_of, embedding.decodes),
    ("decodes colour images that are not square", decoder_of, embedding.decodes_colour),
    (
        "scores pairs alike both ways round, within their ranges, with itself as 1",
        pair_scorer_of,
        embedding.scores_pairs,
    ),
)


def encodes_any_size(name: str) -> None:
    """Grey and colour images of any size become vectors of the length that was asked for, all numbers finite."""
    for shape in (GREY, COLOUR, _TINY):
        vectors = _encoder(name, shape)(_pixels(shape))
        if tuple(vectors.shape) != (3, _DIM) or not bool(torch.isfinite(vectors).all()):
            raise SimbenchError(f"images of {shape}: {tuple(vectors.shape)} numbers for (3, {_DIM}), or one not finite")


def encodes_alone_as_in_a_batch(name: str) -> None:
    """In eval mode an image's vector does not depend on what else is in the batch."""
    made, pixels = _encoder(name, GREY), _pixels(GREY)
    require_same(made(pixels)[:1].numpy(), made(pixels[:1]).numpy(), "vectors")


def survives_its_state(name: str) -> None:
    """Another encoder with the same state gives the same vectors."""
    one, other = _encoder(name, GREY), _encoder(name, GREY)
    other.load_state_dict(one.state_dict())
    require_same(one(_pixels(GREY)).numpy(), other(_pixels(GREY)).numpy(), "vectors")


def learns(name: str) -> None:
    """In training mode a gradient reaches its weights, and those it calls pretrained are its own."""
    made = _encoder(name, GREY).train()
    with torch.enable_grad():
        made(_pixels(GREY)).square().sum().backward()
    if all(one.grad is None for one in made.parameters()):
        raise SimbenchError("no weight has a gradient")
    own = {id(one) for one in made.parameters()}
    if not all(id(one) in own for one in made.pretrained()):
        raise SimbenchError("pretrained() names weights that are not among its parameters")


def _encoder(name: str, shape: ImageShape) -> Encoder:
    return build_encoder(name, shape, _DIM, weights="none").eval()


def _pixels(shape: ImageShape) -> torch.Tensor:
    return torch.rand(3, shape.channels, shape.height, shape.width, generator=torch.Generator().manual_seed(0))


_ENCODES: tuple[tuple[str, Callable[[str], None]], ...] = (
    ("encodes grey and colour images of any size as finite vectors of the length asked for", encodes_any_size),
    ("encodes an image alike alone and in a batch", encodes_alone_as_in_a_batch),
    ("encodes the same after saving and loading", survives_its_state),
    ("can be trained", learns),
)


def check_encoder(name: str) -> Iterator[Finding]:
    """Yield one finding a promise of an encoder, by its name or ``name/model``, with random weights."""
    for promise, keeps in _ENCODES:
        with torch.no_grad():
            yield _try(promise, partial(keeps, name))[0]


def check_method(name: str) -> Iterator[Finding]:
    """Yield one finding a promise of a registered method; nothing is written."""
    yield from check_class(get_method(name))


def check_class(cls: type[Method]) -> Iterator[Finding]:
    """Yield one finding a promise. The method is trained for moments on small made-up images."""
    for promise, declared in _DECLARED:
        yield _try(promise, partial(declared, cls))[0]
    finding, one = _try("fits and embeds grey 28x28 images", partial(try_out, cls, GREY))
    yield finding
    if one is None:
        return
    for promise, used in _USED:
        yield _try(promise, partial(used, one))[0]
    for promise, accepted in _ACCEPTED:
        yield _try(promise, partial(accepted, cls))[0]
    for promise, ability, able in _ABLE:
        if ability(one.method) is not None:
            yield _try(promise, partial(able, one))[0]


def _try(promise: str, act: Callable[[], T]) -> tuple[Finding, T | None]:
    found = Surroundings.now()
    try:
        return Finding(promise, good=True), act()
    except Exception as error:
        detail = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        return Finding(promise, good=False, detail=detail), None
    finally:
        found.put_back()  # one promise's fault is not the next one's finding
