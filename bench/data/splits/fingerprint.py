"""One digest of the data that decides a score."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bench.contract import Split

if TYPE_CHECKING:
    from hashlib import _Hash

CHUNK = 8 << 20  # bytes of pixels hashed at a time, so that a memory map is never read in whole


def fingerprint(classes: Sequence[str], parts: Mapping[str, Split]) -> str:
    """Return the sha256 hex digest of the classes, and of each part's name, images, labels and ids, in their order.

    Groups, relevance and gains are part of it where there are any, whatever order a query's list is in.
    Of images in files it is the files' bytes, at whatever size they are looked at, and what decodes them unless that is
    Pillow; of an array the pixels, whether they
    lie in memory or in a map, and in which rows.
    """
    whole = hashlib.sha256()
    _add_texts(whole, classes)
    known: dict[int, bytes] = {}  # leave-one-out names one split twice: read it once
    for name, part in parts.items():
        if id(part) not in known:
            known[id(part)] = _digest(part)
        _add_texts(whole, [name])
        whole.update(known[id(part)])
    return whole.hexdigest()


def _digest(part: Split) -> bytes:
    digest, shape, files = hashlib.sha256(), part.images.shape, part.images.files
    if files is None:
        digest.update(f"{len(part)}x{shape}\n".encode())
        step = max(1, CHUNK // (shape.height * shape.width * shape.channels))
        for start in range(0, len(part), step):
            digest.update(np.ascontiguousarray(part.images.take(slice(start, start + step))).data)
    else:
        digest.update(f"{len(part)} files{f' by {files.decoder}' if files.decoder else ''}\n".encode())
        digest.update(np.ascontiguousarray(files.contents[part.images.rows]).data)
    digest.update(part.labels.astype("<i8").tobytes())
    _add_texts(digest, part.ids.tolist())
    if part.groups is not None:
        _add_texts(digest, ["groups", *part.groups.tolist()])
    if part.relevance is not None:
        for name, lists in (("positives", part.relevance.positives), ("ignored", part.relevance.ignored)):
            for ids in lists or ():
                _add_texts(digest, [name, *sorted(set(ids))])
        for ids, gains in zip(part.relevance.positives or (), part.relevance.gains or (), strict=False):
            worth = sorted({(one, float(gain)) for one, gain in zip(ids, gains, strict=True)})
            _add_texts(digest, ["gains", *(f"{gain!r} {one}" for one, gain in worth)])
    return digest.digest()


def _add_texts(digest: _Hash, texts: Sequence[str]) -> None:
    """Add texts so that no two lists of them look alike: their lengths first."""
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    digest.update(f"{[len(text) for text in encoded]}".encode())
    digest.update(b"".join(encoded))
