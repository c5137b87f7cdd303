"""A run's training curve in a tracker's own files, for whoever wants to watch it live: ``--tensorboard``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bench.contract import UsageError

Row = Mapping[str, float | int | str]

FOLDER = "tensorboard"


def require_tensorboard() -> None:
    """Raise UsageError, before anything is trained, where the package is missing."""
    try:
        import torch.utils.tensorboard  # noqa: F401, PLC0415 - an extra
    except ImportError as error:
        raise UsageError(
            "--tensorboard needs the package tensorboard: pip install 'simbench-retrieval[tensorboard]'"
        ) from error


@contextmanager
def tensorboard_writer(folder: Path) -> Iterator[Callable[[Row], None]]:
    """Yield what writes an epoch's row as scalars, ``<phase>/<name>`` over the phase's steps, under ``folder``."""
    require_tensorboard()
    from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - an extra

    writer = SummaryWriter(str(folder / FOLDER))

    def write(row: Row) -> None:
        for name, value in row.items():
            if isinstance(value, (int, float)) and name != "step":
                writer.add_scalar(f"{row['phase']}/{name}", value, int(row["step"]))
        writer.flush()

    try:
        yield write
    finally:
        writer.close()
