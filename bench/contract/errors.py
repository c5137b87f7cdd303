"""What can go wrong, and the exit code it ends with."""

from __future__ import annotations

import tokenize
import zipfile
import zlib

# What Python and NumPy raise for a damaged npy or npz file: any of these, by the byte that is wrong. Headers are
# read as Python literals, nested too deep (a RuntimeError) or not closed; sizes may be any number.
DAMAGED_ARRAYS = (
    OSError, ValueError, KeyError, EOFError, TypeError, RuntimeError, SyntaxError, OverflowError, MemoryError,
    tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


class SimbenchError(Exception):
    """Something failed; the message is one line that says what, where, and what to do. Exit code 1."""

    exit_code = 1


class UsageError(SimbenchError):
    """The user asked for something that does not exist or cannot be. Exit code 2."""

    exit_code = 2


class DataError(SimbenchError):
    """A data set is missing, broken, or does not fit what is asked of it."""


class MethodError(SimbenchError):
    """A method broke its promise: wrong shapes, vectors that are not numbers, a training that diverged."""
