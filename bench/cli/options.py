"""Options that several commands share. Each has its environment variable, ``SIMBENCH_<NAME>``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def option(*names: str, envvar: str | None = None, **settings: Any) -> Callable[[F], F]:
    """Return a click option that also reads the environment variable ``SIMBENCH_<LONG NAME>``."""
    longest = max((name for name in names if name.startswith("--")), key=len).split("/")[0]
    variable = envvar or "SIMBENCH_" + longest.removeprefix("--").replace("-", "_").upper()
    return click.option(*names, envvar=variable, **settings)


def folders(command: F) -> F:
    """Add ``--runs`` and ``--results``."""
    command = option("--results", metavar="DIR", help="Where tables go.  [default: results]")(command)
    return option("--runs", metavar="DIR", help="Where runs are kept.  [default: runs]")(command)


def configuration(command: F) -> F:
    """Add ``--config``, ``--set`` and ``--debug``."""
    command = click.option("--debug", is_flag=True, help="Show tracebacks.")(command)
    command = option(
        "--set", "overrides", multiple=True, metavar="SECTION.NAME=VALUE", help="Override one line of bench.toml."
    )(command)
    return option(
        "--config",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Configuration file.  [default: ./bench.toml, if there is one]",
    )(command)


def data_places(command: F) -> F:
    """Add ``--data-root`` and ``--image-size``."""
    command = option("--image-size", metavar="N|HxW", help="Size that own images are resized to.")(command)
    return option(
        "--data-root", metavar="DIR", envvar="SIMBENCH_DATA", help="Where data sets lie (also SIMBENCH_DATA)."
    )(command)


def whole_numbers(_: click.Context, parameter: click.Parameter, text: str | None) -> tuple[int, ...] | None:
    """Turn ``0,1,2`` into (0, 1, 2): a click callback."""
    if text is None:
        return None
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError:
        raise click.BadParameter(f"expected whole numbers such as 0,1,2, got {text!r}", param=parameter) from None
