"""Who runs which cell, where several runners share a tree of runs, and what is left where one is killed.

Its lease ends with its process. In the cell's folder stay ``checkpoints/``, the log and no ``run.json``: the next
runner takes the cell, sweeps away half-written files and resumes the training where the last checkpoint was made.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path

import filelock

from bench.contract import SimbenchError
from bench.runs.store import lock_of

FILE = ".leases"


class Leases:
    """The cells that this process has claimed, as locked bytes of one file.

    One byte a cell, at a place that its folder's name decides. Locks of this kind belong to a process: the kernel frees
    them when it dies, however, and a forked child has no part in them.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        try:
            root.mkdir(parents=True, exist_ok=True)
            self._file = os.open(root / FILE, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise SimbenchError(f"cannot write {root / FILE}: {error.strerror or error}") from error

    def take(self, folder: Path) -> bool:
        """Claim a run's folder, and return whether it was free: of other runners, and of a ``simbench run``."""
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, self._place(folder))
        except (BlockingIOError, PermissionError):  # the two ways of saying that it is locked
            return False
        except OSError as error:
            raise SimbenchError(f"cannot lock {self._root / FILE}: {error.strerror or error}") from error
        if _being_run(folder):
            self.free(folder)
            return False
        return True

    def free(self, folder: Path) -> None:
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, self._place(folder))

    def close(self) -> None:
        os.close(self._file)

    def _place(self, folder: Path) -> int:
        name = folder.relative_to(self._root).as_posix()
        return int(hashlib.sha256(name.encode()).hexdigest()[:15], 16)


def _being_run(folder: Path) -> bool:
    """Whether a process holds the lock under which `bench.runs.store.locked` runs a cell."""
    lock = lock_of(folder)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        return True
    except FileNotFoundError:  # nobody has run a seed of this yet
        return False
    except OSError as error:
        raise SimbenchError(f"cannot write to the run folder {folder}: {error.strerror or error}") from error
    lock.release()
    return False
