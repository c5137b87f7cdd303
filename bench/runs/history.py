"""A training's curves: written as CSV beside the run, and to TensorBoard where asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
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


class MemoryHistory:
    """One row an epoch: numbers and words by name; ``listener`` hears of every new one."""

    def __init__(self, listener: Callable[[Mapping[str, float | int | str]], None] | None = None) -> None:
        self._rows: list[Mapping[str, float | int | str]] = []
        self._listener = listener

    def add(self, row: Mapping[str, float | int | str]) -> None:
        self._rows.append(dict(row))
        if self._listener is not None:
            self._listener(row)

    def rows(self) -> Sequence[Mapping[str, float | int | str]]:
        return self._rows

    def trained(self, clock: str) -> float:
        """Return all epochs' ``seconds`` or ``cpu_seconds``, before a kill too: each phase counts its own."""
        last = {row.get("phase"): float(row.get(clock, 0.0)) for row in self._rows}
        return sum(last.values())

    def events(self) -> list[str]:
        """Return what happened that a reader of the scores must know: a phase that was started again."""
        return [str(row["event"]) for row in self._rows if "event" in row]

    def replace(self, rows: Sequence[Mapping[str, float | int | str]]) -> None:
        """Start again from the rows that a checkpoint recorded."""
        self._rows = [dict(row) for row in rows]
