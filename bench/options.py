"""A plugin's dataclass fields are its options: from words or TOML values to checked field values.

The same few types serve the command line (``-o margin=0.3``), ``bench.toml`` and ``run.json``: bool, int, float, str,
``Literal``, ``X | None`` and ``tuple[X, ...]``. A field made with ``tunable`` also says what ``simbench tune`` may try;
one made with ``file_option`` or ``plugin_option`` says what its text names, whose content then decides a run as well.
"""

from __future__ import annotations

import csv
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from bench.contract import MethodError, SimbenchError, UsageError
from bench.naming import did_you_mean
from bench.plugins import Kind

P = TypeVar("P")
T = TypeVar("T")

_TRUE, _FALSE = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}
_SPACE = "simbench.space"  # the key of a field's metadata under which its range or choices lie
_NAMES = "simbench.names"  # likewise, what its text names: a `FileNamed`, or a kind of plugin


@dataclass(frozen=True)
class Range:
    """Numbers from low to high, both included; log: even in the logarithm; whole: whole numbers only."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise MethodError(f"low must be below high, got {self.low} and {self.high}")
        if self.whole and not (float(self.low).is_integer() and float(self.high).is_integer()):
            raise MethodError(f"a range of whole numbers has whole ends, got {self.low} and {self.high}")
        if self.log and self.low <= 0:
            raise MethodError(f"a logarithmic range starts above 0, got {self.low}")

    def __contains__(self, value: object) -> bool:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and self.low <= value <= self.high


@dataclass(frozen=True)
class Choice:
    """Some values, in no order."""

    values: tuple[bool | int | float | str | None, ...]

    def __post_init__(self) -> None:
        odd = [value for value in self.values if not isinstance(value, (bool, int, float, str, type(None)))]
        if odd or len(set(self.values)) < 2:
            raise MethodError(f"choices must be two or more different words, numbers or None, got {self.values}")

    def __contains__(self, value: object) -> bool:
        return value in self.values


def tunable(
    default: T,
    *,
    low: float | None = None,
    high: float | None = None,
    log: bool = False,
    choices: Sequence[T] | None = None,
) -> T:
    """Return a dataclass field with a default and the values worth trying: a range of numbers, or some choices.

    Args:
        default: the option's default; a whole number makes a range of whole numbers.
        low: where the range begins.
        high: where it ends, included.
        log: whether the range is even in the logarithm.
        choices: the values to try, instead of a range.

    Raises:
        MethodError: it is not exactly one of the two, or the default is not in it.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass
        ... class Loss:
        ...     lr: float = tunable(3e-3, low=3e-4, high=1e-2, log=True)
        >>> Loss().lr, search_space(Loss)
        (0.003, {'lr': Range(low=0.0003, high=0.01, log=True, whole=False)})
    """
    space: Range | Choice
    if choices is not None and low is None and high is None and not log:
        space = Choice(tuple(choices))  # type: ignore[arg-type]  # Choice itself refuses what it cannot hold
    elif choices is None and low is not None and high is not None:
        space = Range(low, high, log, whole=isinstance(default, int))
    else:
        raise MethodError("a tunable option has low and high, or choices")
    if default not in space:
        raise MethodError(f"the default {default!r} is not among the values to try: {space}")
    made: T = field(default=default, metadata={_SPACE: space})
    return made


@dataclass(frozen=True)
class FileNamed:
    """What an option's text names: a file, unless it is one of some words."""

    words: tuple[str, ...] = ()


def file_option(default: str, *, words: Sequence[str] = ()) -> str:
    """Return a dataclass field whose text names a file: what is in the file decides a run, where it lies does not.

    Args:
        default: the option's default.
        words: texts that name no file, such as ``pretrained``.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass
        ... class Centres:
        ...     codebook: str = file_option("none", words=("none",))
        >>> names_of(Centres)
        {'codebook': FileNamed(words=('none',))}
    """
    made: str = field(default=default, metadata={_NAMES: FileNamed(tuple(words))})
    return made


def plugin_option(kind: Kind, default: str) -> str:
    """Return a dataclass field whose text names a plugin of a kind, whose source then decides a run as well.

    Args:
        kind: one of `bench.plugins.KINDS`; what stands behind a slash in the text is the plugin's own affair.
        default: the option's default.
    """
    made: str = field(default=default, metadata={_NAMES: kind})
    return made


def names_of(cls: type) -> dict[str, FileNamed | Kind]:
    """Return what the options of a plugin class name, of those that say so, in the order of the class."""
    return {one.name: one.metadata[_NAMES] for one in fields(cls) if one.init and _NAMES in one.metadata}


def search_space(cls: type) -> dict[str, Range | Choice]:
    """Return what a plugin class declares tunable: field name to range or choices, in the order of the class."""
    return {one.name: one.metadata[_SPACE] for one in fields(cls) if one.init and _SPACE in one.metadata}


def option_types(cls: type) -> dict[str, Any]:
    """Return the options of a plugin class: field name to type, in the order of the class."""
    hints = get_type_hints(cls)
    return {one.name: hints[one.name] for one in fields(cls) if one.init}


def build(cls: type[P], options: Mapping[str, Any], *, owner: str) -> P:
    """Make a plugin object from words or values by option name.

    Raises UsageError that names every unknown option and every value that does not fit, all at once.
    """
    known, values, problems = option_types(cls), {}, []
    for name, given in options.items():
        option = name.replace("-", "_")
        if option not in known:
            problems.append(
                f"{owner} has no option {name!r}{did_you_mean(option, known)} (it has: {', '.join(known) or 'none'})"
            )
            continue
        try:
            values[option] = coerce(given, known[option])
        except ValueError as error:
            problems.append(f"{owner}: option {name}: {error}")
    if problems:
        raise UsageError("\n".join(problems))
    try:
        return cls(**values)
    except (ValueError, TypeError) as error:
        raise UsageError(f"{owner}: {error}") from error


def values_of(plugin: object) -> dict[str, Any]:
    """Return every option of a plugin object with its value, defaults included, as plain JSON-able values."""
    values = {name: getattr(plugin, name) for name in option_types(type(plugin))}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def coerce(given: Any, wanted: Any) -> Any:
    """Return a word or a TOML value as the wanted type. Raises ValueError that says what was expected."""
    origin = get_origin(wanted)
    if origin is Literal:
        return _one_of(given, get_args(wanted))
    if origin in (Union, types.UnionType):
        return _optional(given, get_args(wanted))
    if origin is tuple:
        kind, items = get_args(wanted)[0], given
        if isinstance(given, str):
            items = _words(given) if kind is str else listed(given)
        if not isinstance(items, (list, tuple)):
            raise ValueError(f"expected a list, got {given!r}")
        return tuple(coerce(item.strip() if isinstance(item, str) else item, kind) for item in items)
    if wanted in (bool, int, float, str):
        return _scalar(given, wanted)
    raise SimbenchError(f"an option of type {wanted} cannot be given on the command line or in bench.toml")


def listed(text: str) -> list[str]:
    """Return the words between commas, ``0..3`` as the whole numbers from 0 to 3."""
    found = []
    for word in text.split(","):
        ends = word.strip().split("..")
        if len(ends) == 2 and all(end.isdecimal() for end in ends) and int(ends[0]) <= int(ends[1]):
            found += [str(number) for number in range(int(ends[0]), int(ends[1]) + 1)]
        else:
            found.append(word.strip())
    return found


def _words(given: str) -> list[str]:
    """Return the words between commas; one in double quotes may have commas itself."""
    try:
        return next(csv.reader([given], skipinitialspace=True, strict=True)) or [""]
    except csv.Error as error:
        raise ValueError(f"expected words with commas between them, got {given!r} ({error})") from error


def _one_of(given: Any, choices: tuple[Any, ...]) -> Any:
    for choice in choices:
        if given == choice or str(given) == str(choice):
            return choice
    raise ValueError(
        f"expected one of {', '.join(map(str, choices))}, got {given!r}{did_you_mean(str(given), map(str, choices))}"
    )


def _optional(given: Any, members: tuple[Any, ...]) -> Any:
    if given is None or (isinstance(given, str) and given.lower() == "none" and type(None) in members):
        return None
    *others, last = (member for member in members if member is not type(None))
    for member in others:
        try:
            return coerce(given, member)
        except ValueError:
            continue
    return coerce(given, last)


def _scalar(given: Any, wanted: type) -> Any:
    article = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}[wanted]
    wrong = ValueError(f"expected {article}, got {given!r}")
    if wanted is bool:
        word = str(given).lower()
        if word not in _TRUE | _FALSE:
            raise wrong
        return word in _TRUE
    if wanted is str:
        if not isinstance(given, str):
            raise wrong
        return given
    if isinstance(given, bool) or (wanted is int and isinstance(given, float) and not given.is_integer()):
        raise wrong
    try:
        return wanted(given)
    except (TypeError, ValueError):
        raise wrong from None
