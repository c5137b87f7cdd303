"""Files with one bit other than it was written."""

from __future__ import annotations

from collections.abc import Iterator


def one_bit_flipped(whole: bytes, step: int) -> Iterator[bytes]:
    """Yield a file's content with each bit flipped, one at a time; every so many bits."""
    for bit in range(0, 8 * len(whole), step):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        yield bytes(damaged)
