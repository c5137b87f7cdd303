"""The command line: thin commands over the harness. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import io
import os
import sys
import traceback

import click

from bench.cli.bench import bench
from bench.cli.cache import cache
from bench.cli.check import check
from bench.cli.choose import choose, proxies
from bench.cli.compare import compare
from bench.cli.decode import decode
from bench.cli.distill import distill
from bench.cli.embed import embed
from bench.cli.evaluate import evaluate
from bench.cli.exchange import export, import_model
from bench.cli.fetch import fetch
from bench.cli.index import index
from bench.cli.leaderboard import leaderboard
from bench.cli.listing import listing
from bench.cli.report import report
from bench.cli.rerank import rerank
from bench.cli.robustness import robustness
from bench.cli.run import run
from bench.cli.search import search
from bench.cli.serve import serve
from bench.cli.terminal import show_warnings
from bench.cli.threshold import threshold
from bench.cli.tune import tune
from bench.contract import SimbenchError, UsageError
from bench.naming import reason_of

INTERRUPTED = 130


class _Commands(click.Group):
    """The commands; an empty word, as a shell makes of a variable that is not set, would mean the folder we are in."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        empty = [at for at, word in enumerate(args) if not word or (word.startswith("--") and word.endswith("="))]
        if empty:
            before = " ".join(args[: empty[0] + 1]).strip()
            raise UsageError(f"empty word at `{before}` (a variable that is not set?); give a value, or leave it out")
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _ReaderGoneError from error


class _ReaderGoneError(Exception):
    """Who reads what we print has seen enough (`simbench list | head`); of a BrokenPipeError click makes an exit."""


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110, "show_default": True},
)
@click.version_option(package_name="simbench-retrieval", prog_name="simbench")
def cli() -> None:
    """Which image-retrieval method should you use?

    simbench trains methods, ranks a gallery for every query, and writes tables you can trust.

    \b
    simbench run -m arcface -m pixels -m random     on scikit-learn's digits, needs no file
    simbench run -m arcface -d fashionmnist         the main job
    simbench run -m arcface -d path/to/pictures     your own: one folder a class
    simbench choose path/to/pictures                which method for them, within half an hour
    simbench list                                   methods and data sets
    simbench tune -m arcface --epochs 2             better options, chosen on validation
    simbench leaderboard                            tables from all runs so far
    simbench report                                 one page of them all
    simbench search shoe.jpg --run RUN              the most similar pictures, by a finished run
    simbench serve                                  the same in a browser, runs side by side
    """


for command in (
    run, choose, bench, listing, fetch, leaderboard, check, tune, rerank, cache, search, embed, serve, decode, distill,
    evaluate, compare, threshold, proxies, index, robustness, report, export, import_model,
):  # fmt: skip
    cli.add_command(command)


def main() -> None:
    """Run the command line: one clear line for an error, exit code 2 for usage, 1 for failure, 130 for an interrupt."""
    show_warnings()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names may have bytes that are no text
    try:
        code = cli.main(standalone_mode=False) or 0
        sys.stdout.flush()  # here, where a full disk is told in one line
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("simbench: interrupted; the same command resumes where this one stopped", err=True)
        sys.exit(INTERRUPTED)
    except SimbenchError as error:
        _explain(str(error))
        sys.exit(error.exit_code)
    except (BrokenPipeError, _ReaderGoneError):
        sys.stderr.close()  # or the interpreter tells of what it cannot write at its end
        sys.exit(1)
    except (OSError, MemoryError) as error:  # of a place or a size that the user named, and nothing inside checked
        _explain(_of_the_machine(error))
        _give_up_output()
        sys.exit(1)
    except Exception as error:
        if "Symlink loop" in str(error):  # what pathlib makes of it
            _explain(f"{error} (give a folder that is there)")
            sys.exit(1)
        first = (str(error).splitlines() or [""])[0]
        _explain(f"unexpected {type(error).__name__}: {first} (--debug shows where; please report it)")
        sys.exit(1)
    except BaseException as error:  # SystemExit too: simbench's own code raises none in a command
        _explain(f"ended by {type(error).__name__}: {error}, raised by no code of simbench's (--debug shows where)")
        sys.exit(1)
    sys.exit(code)


def _of_the_machine(error: OSError | MemoryError) -> str:
    """Say what the operating system refused, and for which file; names of thousands of letters are cut."""
    if isinstance(error, MemoryError):
        return f"not enough memory ({str(error) or 'for what was asked'})"
    where = f"{str(error.filename)[:200]}: " if error.filename is not None else ""
    return f"{where}{error.strerror or reason_of(error)} (--debug shows where)"


def _give_up_output() -> None:
    """Let what stdout could not take go, or the interpreter tries it once more at its end, and shows a traceback."""
    try:
        sys.stdout.flush()
    except OSError:
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), sys.stdout.fileno())


def _explain(message: str) -> None:
    if "--debug" in sys.argv:
        traceback.print_exc()
    for line in message.splitlines():
        click.echo(f"simbench: {line}", err=True)
