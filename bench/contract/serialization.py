"""Dataclasses to JSON and back: one writer and one reader for every frozen object that lies on a disk.

Both go by the fields' own types. A field with ``init=False`` is worked out from the others: written, and not read.
"""

from __future__ import annotations

import math
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from bench.contract.errors import DataError

T = TypeVar("T")

_HUGE = 10**18  # what a table's whole numbers hold
_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def to_jsonable(value: Any) -> Any:
    """Return a value as JSON has it: dataclasses as objects, tuples as lists, and null for numbers that are not finite.

    Args:
        value: Any of these, nested in any way; other values stay as they are.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: to_jsonable(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): to_jsonable(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_jsonable(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def from_jsonable(kind: type[T], value: Any, where: str = "") -> T:
    """Return a dataclass from what ``to_jsonable`` made of one.

    Args:
        kind: The dataclass. Its fields are bool, int, float, str, Any, ``Literal``, enums of text, ``X | None``,
            tuples, mappings by text, and dataclasses of these; null in the place of a float is NaN.
        value: The object as JSON has it.
        where: The object's name in messages.

    Raises:
        DataError: A value is missing, unknown or of another type, or the class itself refuses it; the message says
            which.
    """
    if not isinstance(value, Mapping):
        raise _wrong(where, "an object", value)
    types_of, known = _types_of(cast("Any", kind)), {one.name: one for one in fields(cast("Any", kind))}
    unknown = [name for name in value if name not in known]
    needed = [one for one in known.values() if one.init and one.default is MISSING and one.default_factory is MISSING]
    missing = [one.name for one in needed if one.name not in value]
    for names, what in ((unknown, "an unknown"), (missing, "no")):
        if names:
            raise DataError(f"{f'{where} has' if where else 'there is'} {what} {', '.join(map(repr, names))}")
    given = {name: inner for name, inner in value.items() if known[name].init}
    return kind(**{name: _value(types_of[name], inner, f"{where}.{name}".strip(".")) for name, inner in given.items()})


@cache
def _types_of(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _value(kind: Any, value: Any, where: str) -> Any:
    origin, inner = get_origin(kind), get_args(kind)
    if isinstance(kind, type) and is_dataclass(kind):
        return from_jsonable(kind, value, where)
    if origin in (Union, types.UnionType):
        return None if value is None else _value(next(one for one in inner if one is not types.NoneType), value, where)
    if origin is Literal:
        if value not in inner:
            raise _wrong(where, f"one of {', '.join(map(str, inner))}", value)
        return value
    if origin is tuple:
        return _tuple(inner, value, where)
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise _wrong(where, "an object", value)
        return {name: _value(inner[1], one, f"{where}.{name}") for name, one in value.items()}
    return _scalar(kind, value, where)


def _tuple(kinds: Sequence[Any], value: Any, where: str) -> tuple[Any, ...]:
    endless = len(kinds) == 2 and kinds[1] is ...
    if not isinstance(value, (list, tuple)) or not (endless or len(value) == len(kinds)):
        raise _wrong(where, "a list" if endless else f"a list of {len(kinds)}", value)
    each = [kinds[0]] * len(value) if endless else kinds
    return tuple(_value(kind, one, f"{where}[{at}]") for at, (kind, one) in enumerate(zip(each, value, strict=True)))


def _scalar(kind: Any, value: Any, where: str) -> Any:
    if kind is float and value is None:
        return math.nan
    if isinstance(value, int) and abs(value) >= _HUGE:
        raise _wrong(where, "a number of at most 18 digits", value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(kind, type) and issubclass(kind, Enum):
        if value not in [*kind]:
            raise _wrong(where, f"one of {', '.join(kind)}", value)
        return kind(value)
    if kind is not Any and type(value) is not kind:
        raise _wrong(where, _WORDS.get(kind, str(kind)), value)
    return value


def _wrong(where: str, expected: str, value: Any) -> DataError:
    return DataError(f"{f'{where}: ' if where else ''}expected {expected}, got {str(value)[:40]!r}")
