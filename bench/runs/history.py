"""The training curve of a run, in memory; the phases' checkpoints carry it across a kill."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence


class MemoryHistory:
    """One row an epoch: numbers and words by name; ``told`` hears of every new one."""

    def __init__(self, told: Callable[[Mapping[str, float | int | str]], None] | None = None) -> None:
        self._rows: list[Mapping[str, float | int | str]] = []
        self._told = told

    def add(self, row: Mapping[str, float | int | str]) -> None:
        self._rows.append(dict(row))
        if self._told is not None:
            self._told(row)

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
