"""Options that several commands share; ``option`` gives each its environment variable, ``SIMBENCH_<NAME>``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.contract import FIRST, UsageError

if TYPE_CHECKING:
    from bench.config import Config

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def option(*names: str, envvar: str | None = None, **settings: Any) -> Decorator:
    """Return a click option that also reads the environment variable ``SIMBENCH_<LONG NAME>``."""
    longest = max((name for name in names if name.startswith("--")), key=len).split("/")[0]
    variable = envvar or "SIMBENCH_" + longest.removeprefix("--").replace("-", "_").upper()
    return click.option(*names, envvar=variable, **settings)


def together(*options: Decorator) -> Decorator:
    """Return one decorator that adds several options, in this order of the help."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for one in reversed(options):
            command = one(command)
        return command

    return add


def whole_numbers(_: click.Context, parameter: click.Parameter, text: str | None) -> tuple[int, ...] | None:
    """Turn ``0,1,2`` and ``0..2`` into (0, 1, 2): a click callback."""
    if text is None:
        return None
    from bench.options import listed

    try:
        return tuple(int(word) for word in listed(text))
    except ValueError:
        raise click.BadParameter(f"expected whole numbers such as 0,1,2, got {text!r}", param=parameter) from None


def _draw(_: click.Context, parameter: click.Parameter, text: str | None) -> int | str | None:
    """Turn a split seed as typed into one: a click callback."""
    found = _draws(_, parameter, text)
    if found is not None and len(found) > 1:
        raise click.BadParameter(f"expected one split seed, got {text!r}", param=parameter)
    return None if found is None else found[0]


def _draws(_: click.Context, parameter: click.Parameter, text: str | None) -> tuple[int | str, ...] | None:
    """Turn ``0..2,first`` into (0, 1, 2, "first"): a click callback."""
    if text is None:
        return None
    from bench.options import listed

    try:
        return tuple(word if word == FIRST else int(word) for word in listed(text))
    except ValueError:
        raise click.BadParameter(
            f"expected split seeds such as 0..9 or {FIRST}, got {text!r}", param=parameter
        ) from None


def _rank_by(_: click.Context, __: click.Parameter, name: str) -> str:
    from bench.evaluation.metrics.registry import ranked_by

    return "map" if name == "map" else ranked_by(name).name


def _columns(_: click.Context, __: click.Parameter, text: str | None) -> tuple[str, ...]:
    if not text:
        return ()
    from bench.evaluation.metrics.registry import column

    return tuple(column(word.strip()).name for word in text.split(","))


def _places(_: click.Context, __: click.Parameter, words: Sequence[str]) -> dict[str, str]:
    """Return the words NAME=PATH as a mapping. Raises UsageError for another word."""
    found = {}
    for word in words:
        name, equals, path = word.partition("=")
        if not (name and equals and path):
            raise UsageError(f"--images takes NAME=PATH, such as pictures=path/to/pictures, got {word!r}")
        found[name] = path
    return found


def _use_folders(_: click.Context, parameter: click.Parameter, folders: tuple[Path, ...]) -> None:
    """Use plugins from these folders from then on, whatever the command does."""
    from bench.registry import use_folders

    use_folders(**{str(parameter.name).removesuffix("_folders"): folders})


def _plugin_folder(name: str, help_: str) -> Decorator:
    return option(
        name,
        f"{name[2:]}_folders",
        multiple=True,
        type=click.Path(path_type=Path),  # so that the variable is split like PATH
        metavar="DIR",
        help=help_,
        is_eager=True,
        expose_value=False,
        callback=_use_folders,
    )


plugin_folders = together(
    _plugin_folder("--methods", "Folder with files of your own methods, encoders, engines and indexes; repeatable."),
    _plugin_folder("--datasets", "Folder with files of your own data sets; repeatable."),
)
debugging = click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks.")  # read in `bench.cli`
folders = together(
    option("--runs", metavar="DIR", help="Where runs are kept.  [default: runs]"),
    option("--report-dir", metavar="DIR", help="Where tables go.  [default: report in the folder of --runs]"),
)
wide_tables = click.option("--wide", is_flag=True, help="Print every column, however wide the terminal is.")
publishing = together(
    click.option(
        "--publish", metavar="NAME", help="Write to results/NAME, the set to be committed, instead of --report-dir."
    ),
    click.option("--force", is_flag=True, help="Publish even if rows of the set are lost by it."),
)
ranking = option(
    "--rank-by",
    "--metric",
    "rank_by",
    default="map",
    metavar="METRIC",
    callback=_rank_by,
    help="What rows are ranked, tested and answered by: any metric with a value for each query.",
)
shown_columns = option(
    "--columns",
    metavar="A,B,C",
    callback=_columns,
    help="Columns to show, such as map,hit@1,ms.  [default: the usual, and every depth asked for with -k]",
)
depths = option(
    "-k",
    "--k",
    "ks",
    type=int,
    multiple=True,
    help="Cut-off of the metrics; repeatable.  [default: 1, 10, 50, or the data set's own]",
)
ties = option("--ties", metavar="RULE", help="pessimistic, optimistic or mean.  [default: pessimistic]")
training = together(
    option(
        "-o",
        "--option",
        "words",
        multiple=True,
        metavar="NAME=VALUE",
        help="Option of the methods (METHOD.NAME=VALUE for one); see `list -v`.",
    ),
    option(
        "--seed",
        "--seeds",
        "seeds",
        callback=whole_numbers,
        metavar="0,1,2",
        help="Seeds, one run each (0..4: five); tune takes one.  [default: 0]",
    ),
    option("--epochs", type=float, help="Epochs in all, shared by a method's phases."),
    option("--budget", metavar="5m", help="Time to train in, instead of epochs: 90s, 5m, 2h."),
    option("--phases", callback=whole_numbers, metavar="1,2", help="Which phases of a method to train."),
    option(
        "--mirror-test",
        is_flag=True,
        help="Embed every image with its mirror image, whatever the method: the mean of both vectors, twice the time; "
        "not where the data may not be mirrored.  [default: off, of every method]",
    ),
    ties,
)
_device = option("--device", metavar="NAME", help="auto, cpu, cuda or mps.  [default: auto]")
hardware = together(_device, option("--threads", type=int, help="Processors to use.  [default: all]"))
deterministic = option(
    "--deterministic",
    is_flag=True,
    default=None,
    help="The same bits on any number of threads: compute on one, by deterministic operations.",
)
executors = together(
    option("--executor", type=click.Choice(["local", "ray"]), default="local", help="Where jobs run."),
    option("--address", metavar="HOST:PORT|auto", help="The Ray cluster.  [default: one on this machine]"),
    _device,
    option("--threads", type=int, help="Processors of a job.  [default: all, divided among the jobs]"),
)
data_root = option(
    "--data-root", metavar="DIR", envvar="SIMBENCH_DATA", help="Where data sets lie (also SIMBENCH_DATA)."
)
_size = option("--image-size", metavar="N|HxW", help="Size of picture files.  [default: each method's own]")
data_places = together(data_root, _size)
image_places = option(
    "--images",
    "places",
    multiple=True,
    metavar="NAME=PATH",
    callback=_places,
    help="Where a data set's images lie, by its name in the tables; repeatable. Named sets are found without.",
)
draws = option(
    "--split-seeds",
    callback=_draws,
    metavar="0..9",
    help="Several split seeds, each with all --seeds: one row over all draws where the classes tested on are new.",
)
data_choices = together(
    option(
        "--protocol", metavar="NAME", help="One of `simbench list protocols`.  [default: the data set's, or holdout]"
    ),
    option("--limit", type=int, help="Use at most so many images of train and of test."),
    option(
        "--classes",
        metavar="A,B,C|N",
        help="Use these classes (one with a comma in quotes: 'a,\"b, c\"'), or so many, chosen by the split seed.",
    ),
    option("--per-class", type=int, help="At most so many images a class to train on, validation included."),
    option("--balance", is_flag=True, help="Train on as many images of every class as the smallest has."),
    option(
        "--validation",
        type=click.Choice(("images", "classes")),
        help="Choose epochs on images of trained classes, or on classes held out.  [default: images]",
    ),
    option("--drop-leaks", is_flag=True, help="Do not train on duplicates of images to test on."),
    option(
        "--split-seed",
        callback=_draw,
        metavar="N|first",
        help="Seed of every choice of images; first: test on the second half of the classes.  [default: 0]",
    ),
    option("--strict", is_flag=True, help="Refuse data with any image that cannot be decoded."),
    option("--skip-broken", is_flag=True, help="Leave out images that cannot be decoded, however many."),
)


@dataclass(frozen=True)
class Given:
    """What a command was given beside its settings: ``--config``, ``--set`` and ``--debug``."""

    config: Path | None
    overrides: Sequence[str]
    debug: bool

    def load(self, flags: Mapping[str, Any]) -> Config:
        """Return the checked configuration. flags: settings given on the command line, None where not given."""
        from bench.config import load_config

        return load_config(self.config, overrides=self.overrides, flags=flags)


def label_folders(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--label-from``: which folder's name is a picture's label; as a data set's option ``label_from``."""
    return option(
        "--label-from",
        type=click.Choice(("outer", "inner")),
        default="outer",
        help="Label pictures in nested folders by the outer one, as a run does, or by the one they lie in.",
    )(command)


def configuration(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--config``, ``--set``, ``--debug``, ``--methods`` and ``--datasets``: the argument ``given``."""

    @wraps(command)
    def configured(*, config: Path | None, overrides: Sequence[str], debug: bool, **values: Any) -> Any:
        return command(given=Given(config, overrides, debug), **values)

    config_file = click.Path(dir_okay=False, path_type=Path)
    return together(
        option("--config", type=config_file, help="Configuration file.  [default: ./bench.toml, if there is one]"),
        option(
            "--set", "overrides", multiple=True, metavar="SECTION.NAME=VALUE", help="Override one line of bench.toml."
        ),
        click.option("--debug", is_flag=True, help="Show tracebacks."),
        plugin_folders,
    )(configured)


def chosen_data(flags: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of ``data_choices`` that were given. Raises UsageError for --strict with --skip-broken."""
    flags = dict(flags)
    strict, skip = flags.pop("strict"), flags.pop("skip_broken")
    if strict and skip:
        raise UsageError("give --strict or --skip-broken, not both")
    if strict or skip:
        flags["broken"] = "none" if strict else "any"
    return {name: value for name, value in flags.items() if value is not None and value is not False and value != ()}
