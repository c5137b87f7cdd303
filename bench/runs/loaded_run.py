"""The images that a finished run was scored on: its data set, loaded again and proven to be the same."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from bench.config import Config, Settings
from bench.contract import (
    DataError,
    Dataset,
    Decodes,
    Images,
    ImageShape,
    Method,
    Progress,
    Resize,
    RunSpec,
    SimbenchError,
    UsageError,
    decoder_of,
    saver_of,
)
from bench.evaluation.inference.embed import decode_vectors, embed_images, with_views
from bench.evaluation.ranking.arrays import Vectors
from bench.evaluation.ranking.vectors import refuse_bad_rows, row_norms
from bench.naming import first_few
from bench.options import build
from bench.registry import get_method
from bench.runs.artifacts import PER_QUERY, read_arrays, read_vectors, read_weights
from bench.runs.run_plan import as_in_run, chosen_data, load_collection
from bench.runs.sources import changed_code
from bench.runs.store import RUN_FILE, RunRecord, read_run

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    from bench.contract import Ids, Labels, Pixels


def images_of(
    record: RunRecord, config: Config, progress: Progress, cache: Path, *, where: str | None = None
) -> Dataset:
    """Load a run's data set and cut it as the run did.

    where: name or path of the data set, by default the name that the run has for it; own images have to be named.
    Raises DataError unless every image, label and id is the one that the run was scored on.
    """
    spec = record.result.spec
    settings = settings_of(spec, config.settings)
    name = where or spec.dataset
    collection = load_collection(name, replace(config, settings=settings), progress, cache)
    other = (
        f"{name}: not the images that {record.folder} was scored on (images, labels, classes or their parts differ); "
        "name the right ones with --dataset (of report and serve: --images NAME=PATH), and their options as in that run"
    )
    try:
        data = as_in_run(chosen_data(collection, settings, cache), spec)
    except SimbenchError as error:  # what cannot even be cut in this way is not what was
        raise DataError(other) from error
    if data is None:
        raise DataError(other)
    return data


def settings_of(spec: RunSpec, settings: Settings) -> Settings:
    """Return settings with the run's own choice of data and no other; whether it is right, the fingerprint says."""
    chosen: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in spec.data.items()
    }
    device = spec.device if "decoder" in chosen else settings.device  # where the run's own pixels were decoded
    return Settings(protocol=spec.protocol, broken="any", data_root=settings.data_root, device=device, **chosen)


@dataclass(frozen=True)
class RunGallery:
    """What a run's queries were ranked against; or, in the same form, the queries.

    vectors: unit float32 ``(n, d)``; labels: int64 ``(n,)``, numbers into ``classes``; ids: str ``(n,)``.
    """

    vectors: Vectors
    labels: Labels
    ids: Ids
    classes: tuple[str, ...]


@dataclass(frozen=True)
class TrainedRun:
    """A run and its fitted method, which embeds and decodes as it did when the run was scored.

    shape: of the images that the method takes; resize: how the run's data set brought pictures to that size (by "crop"
    where it came in one size).
    """

    record: RunRecord
    method: Method
    shape: ImageShape
    resize: Resize
    device: torch.device

    @property
    def dimension(self) -> int:
        return self.record.result.embedding_dim

    @property
    def identity(self) -> str:
        """What tells the run's vectors from all others; see ``RunRecord.identity``."""
        return self.record.identity

    @property
    def decoder(self) -> Decodes | None:
        """The method as one that decodes, or None where the run trained no decoder."""
        return decoder_of(self.method)

    def embed(self, pixels: Pixels) -> Vectors:
        """Return unit vectors, float32 ``(n, d)``, of uint8 ``(n, height, width, channels)`` of the run's shape."""
        if pixels.shape[1:] != (self.shape.height, self.shape.width, self.shape.channels):
            raise DataError(f"the run takes images of {self.shape}, got an array {pixels.shape}")
        embedder = with_views(self.method, mirror_test=self.record.result.spec.mirror_test)
        return embed_images(embedder, Images(pixels), device=self.device)

    def decode(self, vectors: Vectors) -> Pixels:
        """Return the images of unit float32 ``(n, d)``, uint8 ``(n, height, width, channels)``.

        Raises UsageError where the run cannot decode, DataError for vectors of another dimension, or that are not
        finite or all zero.
        """
        decoder = self.decoder
        if decoder is None:
            name = self.record.result.method
            raise UsageError(
                f"{self.record.folder}: this run of {name} has no decoder; runs with a decode_cosine in the "
                "leaderboard have one"
            )
        if vectors.ndim != 2 or vectors.shape[1] != self.dimension:
            raise DataError(f"the run decodes vectors (n, {self.dimension}), got {vectors.shape}")
        refuse_bad_rows(row_norms(vectors), "the vectors to decode")
        decoded = decode_vectors(decoder, vectors, device=self.device)
        return np.round(decoded.transpose(0, 2, 3, 1) * 255).astype(np.uint8)

    def gallery(self) -> RunGallery:
        """Read the gallery's vectors, labels and ids; see ``gallery_of``."""
        return gallery_of(self.record)


def gallery_of(record: RunRecord) -> RunGallery:
    """Read a run's gallery: vectors, labels and ids. Raises SimbenchError where the files are damaged."""
    return _side_of(record, "gallery", labels="gallery_labels", ids="gallery_ids")


def queries_of(record: RunRecord) -> RunGallery:
    """Read a run's queries: vectors, labels and ids. Raises SimbenchError where the files are damaged."""
    return _side_of(record, "query", labels="labels", ids="ids")


def _side_of(record: RunRecord, side: str, *, labels: str, ids: str) -> RunGallery:
    vectors = read_vectors(record)[side]
    kept = read_arrays(record, PER_QUERY, labels, ids, "classes")
    if not len(vectors) == len(kept[labels]) == len(kept[ids]):
        raise SimbenchError(
            f"{record.folder}: {len(vectors)} vectors, but {len(kept[ids])} ids; run it again (--force)"
        )
    return RunGallery(vectors, kept[labels], kept[ids], tuple(kept["classes"].tolist()))


def find_run(where: Path) -> RunRecord:
    """Return the finished run in a folder, or the only one anywhere under it.

    Raises UsageError where there is none or more than one, and SimbenchError where the run has failed.
    """
    found = [where] if (where / RUN_FILE).is_file() else sorted(path.parent for path in where.rglob(RUN_FILE))
    if len(found) != 1:
        if not where.is_dir():
            raise UsageError(f"{where}: no such folder; give the folder of a finished run, the one with a {RUN_FILE}")
        said = f"{len(found)} runs in it ({first_few([str(one) for one in found])}); give one" if found else "no run"
        raise UsageError(f"{where}: {said}")
    record = read_run(found[0])
    if record is None or record.status != "done":
        reason = record.result.reason if record else "it vanished"
        raise SimbenchError(f"{found[0]}: this run failed ({reason}); run it again first")
    return record


def open_run(where: Path, device: torch.device) -> TrainedRun:
    """Open a finished run's folder (see `find_run`) and restore its method on a device.

    Raises SimbenchError where the run kept no weights, its vectors were made elsewhere, or the method has changed.
    """
    record = find_run(where)
    name, data = record.result.method, record.result.data
    if record.result.spec.given_vectors:
        raise SimbenchError(
            f"{record.folder}: the vectors of this run were made elsewhere; there is no model here that embeds another "
            "picture"
        )
    try:
        method: Method = build(get_method(name), record.result.spec.options, owner=f"method {name}")
    except UsageError as error:
        raise UsageError(
            f"{record.folder}: {error}; a method or an encoder from a file of your own needs its folder: --methods DIR"
        ) from error
    changed = changed_code(record.result.spec)
    if changed:
        logger.warning(
            "%s: the method %s has changed since this run was made (%s)", record.folder, name, first_few(changed)
        )
    saver = saver_of(method)
    if saver is None or not record.result.has_weights:
        raise SimbenchError(f"{record.folder}: the method {name} keeps no weights, so that it cannot be used again")
    state = read_weights(record)
    try:
        saver.restore(state, data.shape, device)
    except (RuntimeError, KeyError) as error:  # torch's for tensors that do not fit, a method's for missing ones
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise SimbenchError(
            f"{record.folder}: its weights do not fit the method {name} as it is now ({first}); run it again"
        ) from error
    resize = record.result.spec.resize or Resize(data.shape.height, data.shape.width)
    return TrainedRun(record, method, data.shape, resize, device)
