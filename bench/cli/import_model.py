"""``simbench import``: a model of your own as a row of the same table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from bench.cli.run import run
from bench.contract import UsageError
from bench.naming import canonical


@click.command(
    "import", context_settings={"ignore_unknown_options": True, "allow_extra_args": True}, add_help_option=True
)
@click.argument("model", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS OF simbench run]...")
@click.option("--name", default="ours", help="The row's name.")
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("imported"),
    help="Folder that the model is copied to, as a method.",
)
def import_model(*, model: Path, words: Sequence[str], name: str, into: Path) -> int:
    """Run a model that was trained elsewhere, ONNX or TorchScript, beside the methods: same evaluation, same controls.

    It takes (n, channels, height, width), pixels in [0, 1], and gives (n, d); otherwise see -o scale=bytes, -o mean=,
    -o std=. It is copied to --into as a method, which every other command finds there by --methods. All further
    options are those of simbench run.

    \b
    simbench import model.onnx -d ~/pictures
    simbench import model.onnx --name ours -d fashionmnist --protocol loo -m pretrained
    simbench import model.pt -d digits -o mean=0.5 -o std=0.5
    simbench search shoe.jpg --run RUN --methods imported
    """
    from bench.files import write_bytes
    from bench.plugins import METHOD
    from bench.registry import find_plugins
    from bench.training.imported import plugin_source

    if not name.isidentifier() or name != canonical(name):
        raise UsageError(f"--name {name}: lower-case letters, digits and _ only, such as ours")
    taken = find_plugins(METHOD).get(name)
    if taken is not None and taken.own:
        raise UsageError(f"--name {name}: there is a method of this name; give another")
    try:
        content = model.read_bytes()
    except OSError as error:
        raise UsageError(f"{model}: cannot be read ({error.strerror or error})") from error
    copy = into / f"{name}{model.suffix}"
    if copy.resolve() != model.resolve():
        write_bytes(copy, content)
    write_bytes(into / f"{name}.py", plugin_source(name, copy).encode())
    found: int = run.main(["-m", name, "--methods", str(into), *words], prog_name="simbench run", standalone_mode=False)
    return found
