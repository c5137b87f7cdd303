"""Are these the bytes that were written? Digests of JSON files, inside them, and of the files that they speak for.

Digests are SHA-256 of what is written, worked out before it reaches a disk, so that no fault of the disk is signed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.contract import DataError, to_jsonable
from bench.files import file_digest, json_digest, write_bytes, write_json

DIGEST = "digest"  # of a JSON file: of all of it but this entry


class DamagedError(DataError):
    """A file is not as it was written."""


class FileWriter:
    """Writes files into one folder, each whole or not at all. digests: of every one written, by name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.digests: dict[str, str] = {}

    def write(self, name: str, content: bytes) -> None:
        """Write a file. Raises SimbenchError where it cannot be written."""
        digest = hashlib.sha256(content).hexdigest()
        write_bytes(self.folder / name, content)
        self.digests[name] = digest


def write_sealed(path: Path, content: Mapping[str, Any]) -> str:
    """Write a JSON file that ends with a digest of the rest, and return the digest."""
    plain = to_jsonable(content)
    digest = json_digest(plain)
    write_json(path, {**plain, DIGEST: digest})
    return digest


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file.

    Raises FileNotFoundError where there is none, and DamagedError for what is no JSON object or cannot be read.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as error:  # brackets in thousands of brackets
        raise DamagedError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    if not isinstance(content, dict):
        raise DamagedError(f"cannot read {path}: it is no JSON object")
    return content


def read_sealed(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file that ``write_sealed`` wrote.

    Raises FileNotFoundError where there is none, and DamagedError where it is not as it was written.
    """
    content = read_json(path)
    check_seal(path, content)
    return content


def check_seal(path: Path, content: Mapping[str, Any]) -> str:
    """Return the digest in a JSON file's content. Raises DamagedError unless it is that of all the rest."""
    said = content.get(DIGEST)
    try:
        found = json_digest({name: value for name, value in content.items() if name != DIGEST})
    except (ValueError, RecursionError) as error:  # NaN, a lone surrogate: never written here
        raise DamagedError(f"cannot read {path}: {error}") from error
    if said != found:
        raise DamagedError(f"cannot read {path}: it is damaged, not what was written (another digest)")
    return found


def verify(path: Path, digest: str) -> Path:
    """Return the path of a file whose bytes have this digest; they are read once a process, until the file changes.

    Raises DamagedError where they have another, or cannot be read.
    """
    try:
        found = file_digest(path)
    except OSError as error:
        again = "; run it again (--force)" if isinstance(error, FileNotFoundError) else ""
        raise DamagedError(f"cannot read {path}: {error.strerror or error}{again}") from error
    if found != digest:
        raise DamagedError(
            f"cannot read {path}: it is damaged, or another run's: not what was written (another digest); run it again "
            "(--force)"
        )
    return path
