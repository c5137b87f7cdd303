"""What a client may ask of the server, and how a request is refused that asks for more."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bench.contract import DataError

_DIGITS = re.compile(r"[0-9]{1,9}")  # not \d, which takes other scripts' digits; not more, which int() refuses


@dataclass(frozen=True)
class Limits:
    """Bytes of one picture, its pixels, bytes of memory a decoding process may have, and seconds.

    upload_seconds: for a request's whole body; decode_seconds: for one picture; uploads: bodies that are read and
    decoded at a time, which bounds the memory they take together (``uploads`` x 2 x ``picture_bytes``); wait_seconds:
    for one of these places.
    """

    picture_bytes: int = 16_000_000
    pixels: int = 50_000_000
    decoder_bytes: int = 1 << 30
    upload_seconds: float = 20.0
    decode_seconds: float = 10.0
    uploads: int = 32
    wait_seconds: float = 2.0
    neighbours: int = 50
    steps: int = 50

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value <= 0:
                raise DataError(f"the limit {name} must be above 0, got {value}")


class RefusalError(Exception):
    """A request is refused. status: 4xx, or 503 where only now; the message is one line for whoever asked."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def whole_number(text: str, name: str, *, least: int = 0, below: int, status: int = 400) -> int:
    """Return the whole number that a client wrote. Raises RefusalError unless it is one in [least, below)."""
    if not _DIGITS.fullmatch(text) or not least <= int(text) < below:
        raise RefusalError(status, f"{name} must be a whole number from {least} to {below - 1}")
    return int(text)


def number_among(words: Mapping[str, str], name: str, *, least: int = 0, below: int, default: int | None = None) -> int:
    """Return the whole number of that name. Raises RefusalError for a wrong one, or none where there is no default."""
    if name not in words:
        if default is None:
            raise RefusalError(400, f"{name} is missing")
        return default
    return whole_number(words[name], name, least=least, below=below)
