"""The list of promises, in the order in which they are checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from bench.contract import ImageShape, Method, decoder_of, pair_scorer_of, parameters_of, saver_of
from bench.registry import get_method
from bench.runs.conformance import abilities, declaring, devices, embedding, fitting
from bench.runs.conformance.surroundings import Surroundings
from bench.runs.conformance.trial import COLOUR, GREY, Trial, try_out

T = TypeVar("T")


@dataclass(frozen=True)
class Finding:
    """One promise and whether it was kept; detail says how it was broken."""

    promise: str
    good: bool
    detail: str = ""


_TINY = ImageShape(8, 8, 1)
_DECLARED: tuple[tuple[str, Callable[[type[Method]], None]], ...] = (
    ("says in its docstring's first line what it is", declaring.introduces_itself),
    ("has options whose defaults come back from run.json as they were", declaring.options_survive_run_json),
)
_USED: tuple[tuple[str, Callable[[Trial], None]], ...] = (
    ("gives vectors that the harness makes unit vectors of", embedding.unit_length),
    ("leaves torch's settings and the training images as they were", fitting.leaves_the_process_as_it_was),
    ("gives the same vectors for the same seed", fitting.same_for_the_same_seed),
    ("learns the same from other labels, if it says that it uses none", fitting.learns_without_labels),
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
    ("embeds, decodes, scores and counts the same after saving and loading", saver_of, abilities.survives_saving),
    ("counts its parameters as a whole number", parameters_of, abilities.counts),
    ("decodes to images of the data's own shape in [0, 1], one as in a batch", decoder_of, abilities.decodes),
    ("decodes colour images that are not square", decoder_of, abilities.decodes_colour),
    (
        "scores pairs alike both ways round, within their ranges, with itself as 1",
        pair_scorer_of,
        abilities.scores_pairs,
    ),
)


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
