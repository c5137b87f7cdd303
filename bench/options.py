"""A plugin's dataclass fields are its options: from words or TOML values to checked field values.

The same few types serve the command line (``-o margin=0.3``), ``bench.toml`` and ``run.json``: bool, int, float, str,
``Literal``, ``X | None`` and ``tuple[X, ...]``.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from bench.contract import SimbenchError, UsageError
from bench.naming import did_you_mean

P = TypeVar("P")

_TRUE, _FALSE = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}


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
        field = name.replace("-", "_")
        if field not in known:
            problems.append(
                f"{owner} has no option {name!r}{did_you_mean(field, known)} (it has: {', '.join(known) or 'none'})"
            )
            continue
        try:
            values[field] = coerce(given, known[field])
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
    return {name: _plain(getattr(plugin, name)) for name in option_types(type(plugin))}


def coerce(given: Any, wanted: Any) -> Any:
    """Return a word or a TOML value as the wanted type. Raises ValueError that says what was expected."""
    origin = get_origin(wanted)
    if origin is Literal:
        return _one_of(given, get_args(wanted))
    if origin in (Union, types.UnionType):
        return _optional(given, get_args(wanted))
    if origin is tuple:
        items = given.split(",") if isinstance(given, str) else given
        if not isinstance(items, (list, tuple)):
            raise ValueError(f"expected a list, got {given!r}")
        return tuple(coerce(item.strip() if isinstance(item, str) else item, get_args(wanted)[0]) for item in items)
    if wanted in (bool, int, float, str):
        return _scalar(given, wanted)
    raise SimbenchError(f"an option of type {wanted} cannot be given on the command line or in bench.toml")


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
    return coerce(given, next(member for member in members if member is not type(None)))


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


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
