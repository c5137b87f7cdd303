"""Memory: amounts in words, what the machine has, and what a process and its children hold (read from /proc)."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from bench.environment import memory_bytes

WATCHED = sys.platform == "linux"  # elsewhere there is no /proc, and limits are the kernel's (`bench.suites.cell`)

_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.ASCII | re.IGNORECASE)
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
_CGROUP = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def byte_count(text: str) -> int:
    """Return an amount such as ``8G`` or ``512M`` (powers of 1024) in bytes. Raises ValueError otherwise."""
    match = _AMOUNT.fullmatch(text.strip())
    if not match or float(match[1]) == 0:
        raise ValueError(f"expected an amount of memory such as 8G or 512M, got {text!r}")
    return int(float(match[1]) * 1024 ** _POWERS[match[2].upper()])


def in_words(amount: float) -> str:
    """Return bytes as ``1.2 GB`` or ``340 MB`` (powers of 1024)."""
    return f"{amount / 2**30:.1f} GB" if amount >= 2**30 else f"{amount / 2**20:.0f} MB"


def machine_memory() -> int:
    """Return how many bytes this machine, or the container that this is, may hold; 0 where nobody says."""
    whole = memory_bytes()
    for path in _CGROUP:
        try:
            whole = min(whole, int(path.read_text("ascii")))
        except (OSError, ValueError):  # no such cgroup, or "max"
            continue
    return whole


def held_by(pids: Iterable[int]) -> int:
    """Return the bytes that processes hold and that cannot be given back: not those of files mapped.

    Memory that several of them share is counted for each: an upper bound, quickly read.
    """
    return sum(_kilobytes(f"/proc/{pid}/status", ("RssAnon", "RssShmem", "VmSwap")) for pid in pids) * 1024


def held_together(pids: Iterable[int]) -> int:
    """Return the same with each shared page divided among those that share it; slower by far."""
    names = ("Pss_Anon", "Pss_Shmem", "SwapPss")
    return sum(_kilobytes(f"/proc/{pid}/smaps_rollup", names) for pid in pids) * 1024


def session_of(leader: int) -> list[int]:
    """Return the processes of a session: a cell's process, and what it has started."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            text = _read(f"/proc/{entry}/stat")
            fields = text.rpartition(")")[2].split()  # a program's name, in brackets before, may hold anything
            if len(fields) > 3 and int(fields[3]) == leader:
                found.append(int(entry))
    return found


def kills_for_memory() -> int:
    """Return how many processes the kernel has killed since it started because memory ran out."""
    for line in _read("/proc/vmstat").splitlines():
        if line.startswith("oom_kill "):
            return int(line.split()[1])
    return 0


def _kilobytes(path: str, names: tuple[str, ...]) -> int:
    total = 0
    for line in _read(path).splitlines():
        name, _, rest = line.partition(":")
        if name in names:
            total += int(rest.split()[0])
    return total


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:  # it has just ended, or there is no /proc
        return ""
