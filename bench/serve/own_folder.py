"""A folder of one's own on the search page: looked at now and then, and swapped for what it has become."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.evaluation.ranking.arrays import Vectors
from bench.naming import naturally, readable
from bench.runs.loaded_run import TrainedRun
from bench.runs.untrained import UntrainedMethod
from bench.search.gallery import open_gallery, root_of, scan
from bench.search.preparation import Preparation
from bench.serve.shared_gallery import Contestant, SharedGallery

if TYPE_CHECKING:
    from bench.contract import Pixels, Workplace
    from bench.data.layouts.folder import LabelFrom
    from bench.search.gallery import OwnGallery
    from bench.search.gallery_index import Embedder

EVERY_SECONDS = 5.0  # between two looks at the folder; one takes some 10 ms for 1,000 files
_AT_ONCE = 16  # pictures embedded while nobody else can ask
_FORMER = 16  # versions whose rows are still known
Wait = Callable[[Callable[[], Any]], Any]


@dataclass(frozen=True)
class FolderPictures:
    """The files of a folder, prepared when they are asked for. Raises UnreadableImageError for one that is gone."""

    root: Path
    names: list[str]
    preparation: Preparation

    def take(self, index: slice) -> Pixels:
        return np.stack([self.preparation.file(os.path.join(self.root, name)) for name in self.names[index]])


@dataclass(frozen=True)
class _InTurn:
    """An embedder that works where others wait too, a few pictures at a time. wait: does work when it is its turn."""

    run: Embedder
    wait: Wait

    def __getattr__(self, name: str) -> Any:
        return getattr(self.run, name)

    def embed(self, pixels: Pixels) -> Vectors:
        parts = [pixels[first : first + _AT_ONCE] for first in range(0, len(pixels), _AT_ONCE)]
        return np.concatenate([self.wait(partial(self.run.embed, part)) for part in parts])


class OwnFolder:
    """A folder that is served, and the one run or method that answers.

    place: how work is shown and where it is kept.
    """

    def __init__(
        self, folder: Path, run: TrainedRun | UntrainedMethod, place: Workplace, *, label_from: LabelFrom = "outer"
    ) -> None:
        self.root, self._run, self._place, self._label_from = root_of(folder), run, place, label_from
        self._seen: tuple[list[str], bytes] | None = None

    def open(self) -> SharedGallery:
        """Return the folder as it is now. Raises DataError where no picture in it can be read."""
        self._seen = self._look()
        return self._shared(self._own(self._run))

    def renewed(self, served: SharedGallery, wait: Wait) -> SharedGallery | None:
        """Return what the folder has become, None where nothing has changed; wait: see ``_InTurn``.

        Raises as ``open`` does; the next look tries again only when something has changed once more.
        """
        seen = self._look()
        if seen == self._seen:
            return None
        self._seen = seen
        found = self._shared(self._own(_InTurn(self._run, wait)))
        if found.version == served.version:
            return None
        known = list({**served.former, served.version: served.ids}.items())[-_FORMER:]
        return replace(found, former=dict(known))

    def _look(self) -> tuple[list[str], bytes]:
        names, state = scan(self.root)
        return names, state.tobytes()

    def _own(self, run: Embedder) -> OwnGallery:
        place = self._place
        cache = place.cache or place.root
        return open_gallery(self.root, run, cache, place.progress, place.log, label_from=self._label_from)

    def _shared(self, own: OwnGallery) -> SharedGallery:
        items, run = own.items, self._run
        digest = hashlib.sha256("\0".join(map(readable, items.names)).encode())
        digest.update(np.ascontiguousarray(items.vectors).data)
        classes = naturally({label for label in items.labels if label is not None})
        numbers = {label: number for number, label in enumerate(classes)}
        labels = np.array([-1 if label is None else numbers[label] for label in items.labels], np.int64)
        name = run.record.result.method if isinstance(run, TrainedRun) else run.name
        preparation = Preparation.of(run.shape, run.resize)
        return SharedGallery(
            (self.root.name, "own pictures", digest.hexdigest()),
            labels,
            np.array([readable(one) for one in items.names]),
            classes,
            preparation,
            (Contestant(name, run, items.vectors),),
            images=FolderPictures(self.root, list(items.names), preparation),
            own=True,
        )
