"""Options that several commands share; ``option`` gives each its environment variable, ``SIMBENCH_<NAME>``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from bench.contract import UsageError

F = TypeVar("F", bound=Callable[..., Any])


def option(*names: str, envvar: str | None = None, **settings: Any) -> Callable[[F], F]:
    """Return a click option that also reads the environment variable ``SIMBENCH_<LONG NAME>``."""
    longest = max((name for name in names if name.startswith("--")), key=len).split("/")[0]
    variable = envvar or "SIMBENCH_" + longest.removeprefix("--").replace("-", "_").upper()
    return click.option(*names, envvar=variable, **settings)


def folders(command: F) -> F:
    """Add ``--runs`` and ``--report-dir``."""
    command = option("--report-dir", metavar="DIR", help="Where tables go.  [default: report in the folder of --runs]")(
        command
    )
    return option("--runs", metavar="DIR", help="Where runs are kept.  [default: runs]")(command)


def wide_tables(command: F) -> F:
    """Add ``--wide``."""
    return click.option("--wide", is_flag=True, help="Print every column, however wide the terminal is.")(command)


def publishing(command: F) -> F:
    """Add ``--publish`` and ``--force``."""
    command = click.option("--force", is_flag=True, help="Publish even if rows of the set are lost by it.")(command)
    return click.option(
        "--publish", metavar="NAME", help="Write to results/NAME, the set to be committed, instead of --report-dir."
    )(command)


def check_executor(executor: str, address: str | None) -> None:
    """Raise UsageError for Ray without its package, and for the address of a cluster without Ray."""
    if executor == "ray":
        from bench.executors.ray import require_ray

        require_ray()
    elif address is not None:
        raise UsageError("--address is that of a Ray cluster; give --executor ray too")


def published_target(name: str | None, *, force: bool) -> Path | None:
    """Return the folder that ``--publish`` names, None without it. Raises UsageError for --force alone, or a path."""
    from bench.report.write import published_folder

    if name is None and force:
        raise UsageError("--force drops rows of a published set; give --publish NAME too")
    return None if name is None else published_folder(name)


def ranking(command: F) -> F:
    """Add ``--rank-by``."""
    return option(
        "--rank-by",
        default="map",
        show_default=True,
        metavar="METRIC",
        callback=_rank_by,
        help="What rows are ranked and tested by: any metric with a value for each query.",
    )(command)


def shown_columns(command: F) -> F:
    """Add ``--columns``."""
    return option(
        "--columns",
        default="",
        metavar="A,B,C",
        callback=_columns,
        help="Columns to show, such as map,hit@1,ms.  [default: the usual, and every depth asked for with -k]",
    )(command)


def _rank_by(_: click.Context, __: click.Parameter, name: str) -> str:
    from bench.evaluation.metrics.registry import ranked_by

    return "map" if name == "map" else ranked_by(name).name


def _columns(_: click.Context, __: click.Parameter, text: str) -> tuple[str, ...]:
    if not text:
        return ()
    from bench.evaluation.metrics.registry import column

    return tuple(column(word.strip()).name for word in text.split(","))


def plugin_folders(command: F) -> F:
    """Add ``--methods`` and ``--datasets``, which hold from then on, whatever the command does."""
    for name, help_ in (
        ("--datasets", "Folder with files of your own data sets; repeatable."),
        ("--methods", "Folder with files of your own methods, encoders, engines and indexes; repeatable."),
    ):
        command = option(
            name,
            f"{name[2:]}_folders",
            multiple=True,
            type=click.Path(path_type=Path),  # so that the variable is split like PATH
            metavar="DIR",
            help=help_,
            is_eager=True,
            expose_value=False,
            callback=_use_folders,
        )(command)
    return command


def _use_folders(_: click.Context, parameter: click.Parameter, folders: tuple[Path, ...]) -> None:
    from bench.registry import use_folders

    use_folders(**{str(parameter.name).removesuffix("_folders"): folders})


def configuration(command: F) -> F:
    """Add ``--methods``, ``--datasets``, ``--config``, ``--set`` and ``--debug``."""
    command = plugin_folders(command)
    command = click.option("--debug", is_flag=True, help="Show tracebacks.")(command)
    command = option(
        "--set", "overrides", multiple=True, metavar="SECTION.NAME=VALUE", help="Override one line of bench.toml."
    )(command)
    return option(
        "--config",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Configuration file.  [default: ./bench.toml, if there is one]",
    )(command)


def data_root(command: F) -> F:
    """Add ``--data-root``."""
    return option(
        "--data-root", metavar="DIR", envvar="SIMBENCH_DATA", help="Where data sets lie (also SIMBENCH_DATA)."
    )(command)


def data_places(command: F) -> F:
    """Add ``--data-root`` and ``--image-size``."""
    return data_root(option("--image-size", metavar="N|HxW", help="Size that image files are resized to.")(command))


def image_places(command: F) -> F:
    """Add ``--images``, as the argument ``places``: see ``bench.cli.report.places_by_name``."""
    return option(
        "--images",
        "places",
        multiple=True,
        metavar="NAME=PATH",
        help="Where a data set's images lie, by its name in the tables; repeatable. Named sets are found without.",
    )(command)


def data_choices(command: F) -> F:
    """Add what decides which images are used, and what to do with broken ones."""
    for add in reversed(_DATA_CHOICES):
        command = add(command)
    return command


def chosen_data(flags: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that ``data_choices`` stand for: a flag that is not given leaves bench.toml its word.

    Raises UsageError for --strict with --skip-broken.
    """
    flags = dict(flags)
    strict, skip = flags.pop("strict"), flags.pop("skip_broken")
    if strict and skip:
        raise UsageError("give --strict or --skip-broken, not both")
    if strict or skip:
        flags["broken"] = "none" if strict else "any"
    return {name: value for name, value in flags.items() if value is not None and value is not False and value != ()}


_DATA_CHOICES = (
    option(
        "--protocol",
        metavar="NAME",
        help="One of `simbench list protocols`.  [default: given where the data names its queries, else holdout]",
    ),
    option("--limit", type=int, help="Use at most so many images of train and of test."),
    option("--classes", metavar="A,B,C|N", help="Use these classes, or so many, chosen by the split seed."),
    option("--per-class", type=int, help="At most so many images a class to learn from, validation included."),
    option("--balance", is_flag=True, help="Learn from as many images of every class as the smallest has."),
    option("--drop-leaks", is_flag=True, help="Do not learn from copies of images to test on."),
    option("--split-seed", type=int, help="Seed of every choice of images.  [default: 0]"),
    option("--strict", is_flag=True, help="Refuse data with any image that cannot be decoded."),
    option("--skip-broken", is_flag=True, help="Leave out images that cannot be decoded, however many."),
)


def whole_numbers(_: click.Context, parameter: click.Parameter, text: str | None) -> tuple[int, ...] | None:
    """Turn ``0,1,2`` into (0, 1, 2): a click callback."""
    if text is None:
        return None
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError:
        raise click.BadParameter(f"expected whole numbers such as 0,1,2, got {text!r}", param=parameter) from None
