"""Names as people read them: classes in natural order, ids that are valid text, names that fit a folder of results."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath


def natural_key(name: str) -> tuple[str, str]:
    """Sort key that puts ``class2`` before ``class10`` and knows no case; the name itself settles what is left."""
    return re.sub(r"[0-9]+", lambda digits: digits.group().zfill(24), name).casefold(), name


def naturally(names: Iterable[str]) -> tuple[str, ...]:
    """Return the distinct names in natural order."""
    return tuple(sorted(set(names), key=natural_key))


def readable(name: str) -> str:
    r"""Return a file name as text that can be written anywhere: bytes that are not UTF-8 become ``\xff``."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def id_of(path: str, root: Path) -> str:
    """Return an image's id: its path relative to the root where it is under it, with forward slashes."""
    inner = path.removeprefix(os.path.join(root, ""))
    return readable(PurePath(inner).as_posix() if os.sep != "/" else inner)


def slug(*names: str) -> str:
    """Return a data set name, from names of files or folders, that is safe as a folder name and on a command line."""
    return re.sub(r"[^\w.]+", "-", readable("-".join(names))).strip("-.").lower() or "images"


def first_few(names: Sequence[str], most: int = 3) -> str:
    """Return the first names in one line, and how many more there are."""
    more = f", and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
