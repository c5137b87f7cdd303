"""The images that a finished run was scored on: its data set, loaded again and proven to be the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.config import Config, Settings
from bench.contract import DataError, Dataset, Progress, SimbenchError
from bench.runs.matrix import chosen_data, load_collection
from bench.runs.store import RunRecord


def images_of(
    record: RunRecord, config: Config, progress: Progress, cache: Path, *, where: str | None = None
) -> Dataset:
    """Load a run's data set and cut it as the run did.

    where: name or path of the data set, by default the name that the run has for it; own images have to be named.
    Raises DataError unless every image, label and id is the one that the run was scored on.
    """
    spec, height_width = record.content["spec"], record.content["data"]["shape"][:2]
    settings = _settings_of(spec, config.settings)
    name = where or str(spec["dataset"])
    collection = load_collection(name, replace(config, settings=settings), progress, cache)
    shape = collection.train.images.shape
    if [shape.height, shape.width] != height_width and settings.image_size is None:
        settings = replace(settings, image_size="x".join(map(str, height_width)))
        collection = load_collection(name, replace(config, settings=settings), progress, cache)
    other = (
        f"{name}: not the images that {record.folder} was scored on (images, labels, classes or their parts differ); "
        "name the right ones with --dataset (of report and serve: --images NAME=PATH), and their options as in that run"
    )
    try:
        data = chosen_data(collection, settings, cache)
    except SimbenchError as error:  # what cannot even be cut in this way is not what was
        raise DataError(other) from error
    if data.fingerprint != spec["fingerprint"]:
        raise DataError(other)
    return data


def _settings_of(spec: Mapping[str, Any], settings: Settings) -> Settings:
    """Return settings with the run's own choice of data and no other; whether it is right, the fingerprint says."""
    chosen: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in spec["data"].items()
    }
    return Settings(
        protocol=spec["protocol"],
        broken="any",
        image_size=settings.image_size,
        data_root=settings.data_root,
        **chosen,
    )
