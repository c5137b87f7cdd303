"""Names: how they are spelled, sorted and made safe for a folder, and what to say when one is not known."""

from __future__ import annotations

import difflib
import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the likeliest of the known names, or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def canonical(name: str) -> str:
    """Return a plugin name as its file spells it: ``-`` and ``_`` are the same to a user."""
    return name.strip().replace("-", "_").lower()


def natural_key(name: str) -> tuple[str, str]:
    """Sort key that puts ``class2`` before ``class10`` and knows no case; the name itself settles what is left."""
    return re.sub(r"[0-9]+", lambda digits: digits.group().zfill(24), name).casefold(), name


def naturally(names: Iterable[str]) -> tuple[str, ...]:
    """Return the distinct names in natural order."""
    return tuple(sorted(set(names), key=natural_key))


def tidied(text: str) -> str:
    """Return a label, a path or a column's name as it is compared: without blanks around it, in normal form C."""
    return unicodedata.normalize("NFC", text.strip())


def why_no_name(text: str) -> str:
    """Return why a text is no name that files keep: a zero byte in it, half a character, or nothing at all."""
    if "\0" in text:
        return f"{text[:80]!r} has a zero byte in it"
    try:
        text.encode()
    except UnicodeEncodeError:
        return f"{text[:80]!r} has half a character in it, which is no text"
    return "" if text else "an empty name"


def readable(name: str) -> str:
    r"""Return a name as text that can be written anywhere: bytes that are not UTF-8 become ``\xff``.

    Halves of characters that stand for no byte, as JSON may hold them, become ``\ud800``.
    """
    try:
        return os.fsencode(name).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return name.encode("utf-8", "backslashreplace").decode()


def id_of(path: str, root: Path) -> str:
    """Return an image's id: its path relative to the root where it is under it, with forward slashes."""
    inner = path.removeprefix(os.path.join(root, ""))
    return readable(PurePath(inner).as_posix() if os.sep != "/" else inner)


def slug(*names: str) -> str:
    """Return a data set name, from names of files or folders, that is safe as a folder name and on a command line."""
    whole = unicodedata.normalize("NFC", readable("-".join(names)))
    return shortened(re.sub(r"[^\w.]+", "-", whole).strip("-.").lower() or "images")


def shortened(name: str, most: int = 100) -> str:
    """Return a name of at most so many bytes: a longer one is cut and gets a digest of the whole.

    A file's name may have 255 bytes, and endings and temporary names want some of them.
    """
    coded = os.fsencode(name)
    if len(coded) <= most:
        return name
    digest = hashlib.sha256(coded).hexdigest()[:8]
    return f"{coded[: most - 9].decode('utf-8', 'ignore')}-{digest}"


_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # what Windows keeps to itself


def is_folder_name(name: str, most: int = 200) -> bool:
    """Whether a name can be a folder's on any system: no path, nothing reserved, nothing unseen, not too long."""
    if name in ("", ".", "..") or name != name.strip() or _DEVICES.fullmatch(name):
        return False
    if not all(letter.isprintable() and letter not in "/\\:" for letter in name):
        return False
    return len(os.fsencode(name)) <= most


def reason_of(error: Exception) -> str:
    """Return an error's message as one line of at most 200 characters, or its class's name where it has none."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def first_few(names: Sequence[str], most: int = 3) -> str:
    """Return the first names in one line, and how many more there are."""
    more = f", and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
