"""A folder searched without a run: the method is fitted on the folder's own pictures, once, and kept beside its index.

What is fitted, such as the mean of all features, must not move with every picture: each vector would. So it is kept as
long as half of the folder's pictures are those that were there when it was fitted, and fitted anew after that; then
all pictures are embedded again. Every vector is what the kept method makes of the file as it is now, to the last bit.
"""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from filelock import FileLock

from bench.contract import DataError, Images, Split, Workplace
from bench.naming import readable
from bench.runs.untrained import UntrainedMethod
from bench.search.gallery import root_of, scan
from bench.search.gallery_index import index_path, read_pictures
from bench.search.preparation import Preparation

MOST_PICTURES = 2_000  # that a method is fitted on, evenly spaced
MOST_BYTES = 512 << 20  # of their pixels


def open_untrained(folder: Path, method: UntrainedMethod, cache: Path, place: Workplace) -> UntrainedMethod:
    """Return a method fitted on a folder's pictures, now or as it is kept in the cache.

    Raises DataError for a folder without a readable picture.
    """
    root = root_of(folder)
    home = index_path(cache, method.identity, root).with_suffix(".fitted")
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(home.with_suffix(".lock")):
            return _kept_or_fitted(method, root, home, place)
    except OSError as error:
        raise DataError(f"{home.parent}: the cache cannot be written ({error.strerror or error})") from error


def _kept_or_fitted(method: UntrainedMethod, root: Path, home: Path, place: Workplace) -> UntrainedMethod:
    names = scan(root)[0]
    kept = method.restored(home)
    if kept is not None:
        fitted, facts = kept
        then = set(facts["pictures"])
        known = sum(_short(name) in then for name in names)
        if 2 * known >= len(names):
            os.utime(home)  # used today, says the cache
            if known < len(names) or known < len(then):
                place.log(
                    f"{method.name}: as fitted on this folder on {facts['date']}; {known:,} of its {len(names):,} "
                    "pictures were there"
                )
            return fitted
        index_path(home.parents[1], fitted.identity, root).unlink(missing_ok=True)
        place.log(f"{method.name}: fitted anew, as fewer than half of the {len(names):,} pictures were there before")
    return _fitted(method, root, names, home, place)


def _fitted(method: UntrainedMethod, root: Path, names: list[str], home: Path, place: Workplace) -> UntrainedMethod:
    shape = method.shape
    most = max(1, min(MOST_PICTURES, MOST_BYTES // (shape.height * shape.width * shape.channels)))
    rows = np.linspace(0, len(names) - 1, min(len(names), most)).astype(np.int64)
    chosen = [names[row] for row in rows]
    found = read_pictures(root, chosen, Preparation.of(shape, method.resize))
    pictures = list(zip(chosen, place.progress(found, total=len(chosen), what="read"), strict=True))
    good = [(name, picture) for name, picture in pictures if not isinstance(picture, str)]
    if not good:
        why = f": {readable(pictures[0][0])} ({pictures[0][1]})" if pictures else ""
        raise DataError(f"{root}: no picture in it can be read{why}")
    place.log(f"{method.name}: no run is given; fitted on {len(good):,} of this folder's own pictures, without labels")
    facts = {"pictures": [_short(name) for name in names], "date": datetime.now(UTC).date().isoformat()}
    ids, pixels = np.array([readable(name) for name, _ in good]), np.stack([picture for _, picture in good])
    shown = Split(Images(pixels), np.zeros(len(good), np.int64), ids)  # labels that say nothing: all are one
    return method.fit(shown, home, facts, place)


def _short(name: str) -> str:
    """Return a short name of a picture's name, which lists of a million keep."""
    return hashlib.blake2b(os.fsencode(name), digest_size=6).hexdigest()
