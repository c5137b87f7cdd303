"""The kinds of plugins, and the decorators that mark one. What finds them: `bench.registry`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from types import FunctionType
from typing import Any, TypeVar

from bench.contract import EvaluationProtocol, MethodError
from bench.environment import DATASET_FOLDERS, METHOD_FOLDERS

C = TypeVar("C", bound=type)
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

_MARK = "__simbench_plugin__"  # the attribute that holds the kind's decorator and what it was given


@dataclass(frozen=True)
class Kind:
    """One kind of plugin.

    decorator: what marks it; word, words: what users read; home: the package of files, or the one module, of simbench's
    own; needs: what a class must be able to do; options: whether it is a dataclass whose fields are options; folders:
    the variable that names the user's folders of such files; standing: names that stand for no plugin, with what they
    mean.
    """

    decorator: str
    word: str
    words: str
    home: str
    needs: tuple[str, ...] = ()
    options: bool = False
    folders: str = METHOD_FOLDERS
    standing: tuple[tuple[str, str], ...] = ()

    @property
    def group(self) -> str:
        """The entry-point group through which packages bring plugins of this kind."""
        return f"simbench.{self.words.replace(' ', '')}"


METHOD = Kind("method", "method", "methods", "bench.methods", ("fit", "embed"), options=True)
DATASET = Kind("dataset", "data set", "data sets", "bench.datasets", ("load",), options=True, folders=DATASET_FOLDERS)
ENCODER = Kind("encoder", "encoder", "encoders", "bench.training.encoders", ("forward", "pretrained", "hold", "make"))
ENGINE = Kind(
    "engine",
    "engine",
    "engines",
    "bench.evaluation.inference.compile",
    standing=(("torch", "The method as it was fitted, nothing compiled."),),
)
INDEX = Kind("index", "index", "indexes", "bench.evaluation.indexes.recipes")
PROTOCOL = Kind(
    "protocol",
    "protocol",
    "protocols",
    "bench.data.splits.protocols",
    standing=(("auto", "The data set's own, else given where the data name queries, else holdout."),),
)
KINDS = (METHOD, DATASET, PROTOCOL, ENCODER, ENGINE, INDEX)


def method(cls: C) -> C:
    """Mark a dataclass as the method that its file is named after.

    Args:
        cls: a dataclass with ``fit(train, validation, run)`` and ``embed(pixels)``; its fields, each with a default,
            are the method's options.

    Returns:
        The same class.

    Raises:
        MethodError: it is no dataclass, lacks one of the two, or an option has no default.

    Example:
        >>> from dataclasses import dataclass
        >>> @method
        ... @dataclass
        ... class Colour:
        ...     power: float = 1.0
        ...     def fit(self, train, validation, run): pass
        ...     def embed(self, pixels): return pixels.pow(self.power).mean(dim=(2, 3)) + 1e-6
    """
    return _mark(cls, METHOD)


def dataset(cls: C) -> C:
    """Mark a dataclass as the data set loader that its file is named after.

    Args:
        cls: a dataclass with ``load(place)``, which returns a ``Collection``; its fields, each with a default, are the
            data set's options.

    Returns:
        The same class.

    Raises:
        MethodError: it is no dataclass, has no ``load``, or an option has no default.
    """
    return _mark(cls, DATASET)


def encoder(cls: C) -> C:
    """Mark a subclass of ``bench.Encoder`` as the encoder that its file is named after: ``-o encoder=NAME``.

    Args:
        cls: made as ``cls(shape, dim)``; turns float ``(n, channels, height, width)`` into float ``(n, dim)``.

    Returns:
        The same class.

    Raises:
        MethodError: it is no subclass of ``bench.Encoder``.
    """
    return _mark(cls, ENCODER)


def engine(*packages: str, devices: tuple[str, ...] = ("cpu",)) -> Callable[[F], F]:
    """Mark a function as the inference engine of its name: ``--engine NAME``.

    Args:
        packages: the modules that it imports when it is called; the version of the first is recorded in runs.
        devices: kinds of devices, as torch calls them, on which it computes. The network and the pixels are there.

    Returns:
        A decorator for a function of a network, its ``ImageShape`` and a number of threads, which yields pairs of a
        number format and a function from float32 pixels ``(n, c, h, w)`` to float32 vectors ``(n, d)``, the fastest
        first: the first that gives torch's vectors is taken.
    """
    return lambda function: _mark(function, ENGINE, (packages, devices))


def index(function: F) -> F:
    """Mark a function as the family of approximate indexes of its name: ``simbench index --only NAME``.

    Args:
        function: of n vectors, d dimensions and k items to find; returns the ``IndexRecipe`` objects to try.

    Returns:
        The same function.
    """
    return _mark(function, INDEX)


def protocol(
    *needs: str, gallery_is_train: bool = False, query_in_gallery: bool = False, draws_classes: bool = False
) -> Callable[[F], F]:
    """Mark a function as the cut of the protocol that is named after it; its first docstring line describes it.

    Args:
        needs: the parts of a collection that it cannot do without.
        gallery_is_train: the gallery is what methods are trained on.
        query_in_gallery: each query is in the gallery too, and excluded from its own ranking.
        draws_classes: the classes to test on are drawn; then the seed may also be "first": in the data set's order.

    Returns:
        A decorator for a function of a ``Collection`` and a seed that returns a ``Collection`` with query and gallery.
    """
    flags = {"gallery_is_train": gallery_is_train, "query_in_gallery": query_in_gallery, "draws_classes": draws_classes}
    return lambda cut: _mark(cut, PROTOCOL, (needs, flags))


def protocol_of(cut: Callable[..., Any]) -> EvaluationProtocol:
    """Return the protocol that a marked function is the cut of."""
    needs, flags = getattr(cut, _MARK)[1]
    return EvaluationProtocol(cut.__name__, (cut.__doc__ or "").partition("\n")[0], needs, cut, **flags)


def packages_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """Return what an engine said that it imports."""
    packages: tuple[str, ...] = getattr(function, _MARK)[1][0]
    return packages


def devices_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """Return the kinds of devices on which an engine said that it computes."""
    devices: tuple[str, ...] = getattr(function, _MARK)[1][1]
    return devices


def is_marked(thing: object, kind: Kind) -> bool:
    """Return whether a class or a function itself, no parent of it, bears a kind's decorator."""
    return isinstance(thing, (type, FunctionType)) and vars(thing).get(_MARK, ("",))[0] == kind.decorator


def _mark(thing: T, kind: Kind, given: object = None) -> T:
    if isinstance(thing, type):
        _check(thing, kind)
    setattr(thing, _MARK, (kind.decorator, given))
    return thing


def _check(cls: type, kind: Kind) -> None:
    missing = [name for name in kind.needs if not callable(getattr(cls, name, None))]
    if missing:
        raise MethodError(f"{kind.word} {cls.__module__}.{cls.__qualname__} lacks {' and '.join(missing)}()")
    if kind.options and not is_dataclass(cls):
        raise MethodError(f"{kind.word} {cls.__qualname__} is no dataclass; write @{kind.decorator} above @dataclass")
    for one in fields(cls) if kind.options else ():
        if one.default is MISSING and one.default_factory is MISSING:
            raise MethodError(f"{kind.word} {cls.__qualname__}: every option needs a default, {one.name!r} has none")
