"""Methods x data sets x seeds: which runs there are, and running them one after another."""

from __future__ import annotations

import fnmatch
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from bench.config import Config, Settings, height_and_width, options_for, seconds
from bench.contract import (
    Budget,
    Collection,
    DataError,
    DataPlace,
    Dataset,
    Loader,
    Method,
    Progress,
    RunSpec,
    SimbenchError,
    UsageError,
    Workplace,
    asked_size,
    native_size,
)
from bench.data.audit.audit import without_leaks
from bench.data.layouts.locate import loader_for_path, plugin_of
from bench.data.splits.fingerprint import fingerprint
from bench.data.splits.protocols import build_dataset
from bench.data.splits.subsets import Subset
from bench.environment import require_package, user_path
from bench.evaluation.inference.engines import require_engine
from bench.naming import canonical, did_you_mean
from bench.options import build, values_of
from bench.plugins import DATASET, METHOD
from bench.registry import find_plugins, get_dataset, get_method, plugin_names, unknown
from bench.runs.provenance import choose_device
from bench.runs.run import execute
from bench.runs.sources import sources_of
from bench.runs.store import RunRecord

_LOG = logging.getLogger(__name__)
_CHOICES = (  # settings that decide what data
    "classes", "per_class", "labels_per_class", "balance", "limit", "drop_leaks", "split_seed", "validation", "decoder",
)  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """One run to be: its specification, its seed, and the data it needs."""

    spec: RunSpec
    seed: int
    dataset: Dataset


def chosen_methods(patterns: Sequence[str]) -> list[str]:
    """Return the methods that names and globs (``*``, ``siamese*``) stand for, in the order given, each once."""
    known, found = plugin_names(METHOD), []
    for pattern in patterns:
        hits = fnmatch.filter(known, canonical(pattern))
        if not hits:
            raise unknown(METHOD, pattern)
        found += hits
    return list(dict.fromkeys(found))


def loader_for(name: str, options: Mapping[str, Mapping[str, Any]]) -> Loader:
    """Return the loader of a ``--dataset`` word: a name (see ``plugin_of``), or a path.

    options: what bench.toml says of each data set by name. Raises UsageError for a word that is neither.
    """
    named = plugin_of(name)
    if named is not None:
        plugin, own = named
    elif Path(name).exists() or any(mark in name for mark in "/\\.~"):
        plugin, own = loader_for_path(name)
    else:
        known = plugin_names(DATASET)
        raise UsageError(
            f"unknown data set {name!r}{did_you_mean(canonical(name), known)} (known: {', '.join(known)}; "
            "or a path to a folder of images or a manifest)"
        )
    return build(get_dataset(plugin), {**options.get(plugin, {}), **own}, owner=f"data set {plugin}")


def load_collection(name: str, config: Config, progress: Progress, cache: Path) -> Collection:
    """Load the images that a ``--dataset`` word stands for, and work out their digest."""
    loader = loader_for(name, config.datasets)
    try:
        collection = loader.load(data_place(config.settings, progress, cache))
    except (SimbenchError, OSError, MemoryError):
        raise
    except Exception as error:
        named = plugin_of(name)
        plugin = find_plugins(DATASET)[named[0]] if named else None
        if plugin is None or plugin.own:
            raise
        what = f"data set {plugin.name} of {plugin.brought_by}"
        raise DataError(f"{what}: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}") from error
    size, images = config.settings.image_size, next(iter(collection.parts().values())).images
    if size and images.files is None:
        _LOG.warning("%s: its images come as they are, %s; --image-size is for picture files", name, images.shape)
    if config.settings.decoder != Settings.decoder and images.files is None:
        _LOG.warning("%s: its images come as they are; run.decoder is for picture files", name)
    return replace(collection, digest=fingerprint(collection.classes, collection.parts()))


def data_place(settings: Settings, progress: Progress, cache: Path) -> DataPlace:
    """Return where loaders look and write by these settings. Raises UsageError where a decoder's package is missing."""
    decodes_on = "cpu"
    if settings.decoder == "torchcodec":
        require_package("torchcodec", "decoder=torchcodec", "torchcodec", "'simbench-retrieval[torchcodec]'")
        decodes_on = "cuda" if choose_device(settings.device).type == "cuda" else "cpu"
    return DataPlace(
        root=user_path(settings.data_root) if settings.data_root else None,
        cache=cache,
        broken=settings.broken,
        progress=progress,
        decoder=settings.decoder,
        decodes_on=decodes_on,
    )


def chosen_data(collection: Collection, settings: Settings, cache: Path | None) -> Dataset:
    """Cut a collection as the settings say: protocol, subset, seed of the split, leaks left out."""
    subset = Subset(
        settings.classes,
        settings.per_class,
        settings.balance,
        settings.limit,
        settings.labels_per_class,
        settings.validation,
    )
    data = build_dataset(collection, settings.protocol, split_seed=settings.split_seed, subset=subset)
    return without_leaks(data, cache) if settings.drop_leaks else data


def sized_for(method: Method | None, data: Dataset, settings: Settings) -> Dataset:
    """Return the data with pictures of the size that a method is to see.

    Its own option ``size`` says so, else ``--image-size``. Where nobody does, small pictures that all have one size
    keep it; others are brought to what the method's network was made for, or to 64x64. Arrays come as they are.
    """
    files = data.query.images.files
    if files is None or method is None:
        return data
    size = asked_size(method) or (height_and_width(settings.image_size) if settings.image_size else None)
    if size is None and not files.own:
        size = native_size(method)
    return data if size is None else data.at(size)


def as_in_run(data: Dataset, spec: RunSpec) -> Dataset | None:
    """Return the data as a run of this specification saw it, None where it is other data."""
    if data.fingerprint != spec.fingerprint:
        return None
    found = data.at((spec.resize.height, spec.resize.width)) if spec.resize is not None else data
    return found if found.resize == spec.resize else None


def data_choices(settings: Settings) -> dict[str, Any]:
    """Return what the settings choose of the data other than by default, as JSON-able values by name."""
    default = Settings()
    chosen = {name: getattr(settings, name) for name in _CHOICES if getattr(settings, name) != getattr(default, name)}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in chosen.items()}


def plan_cells(
    methods: Sequence[str],
    datasets: Mapping[str, Collection],
    config: Config,
    words: Sequence[str],
    device: str,
    *,
    cache: Path | None = None,
) -> list[Cell]:
    """Return every run of the matrix, data set by data set and draw by draw.

    words: the ``-o`` words of the command line; cache: where found copies of images are kept. Raises UsageError with
    all problems of the options at once.
    """
    settings = config.settings
    shares = options_for(words, methods)
    given = {name: {**config.methods.get(name, {}), **shares[name]} for name in methods}
    made = {name: made_method(name, given[name]) for name in methods}
    require_engine(settings.engine, device, {name: method for name, method in made.items() if method is not None})
    options = {name: values_of(method) if (method := made[name]) else given[name] for name in methods}
    cells = []
    for collection in datasets.values():
        if settings.mirror_test and not collection.mirror:
            _LOG.warning(
                "%s: mirror_test is left out, as a mirrored image need not show the same class", collection.name
            )
    for collection, drawn in product(datasets.values(), settings.draws()):
        data = chosen_data(collection, drawn, cache)
        for name in methods:
            seen = sized_for(made[name], data, drawn)
            spec = spec_of(name, options[name], seen, drawn, device)
            cells += [Cell(spec, seed, seen) for seed in drawn.seeds]
    return cells


def spec_of(method: str, options: Mapping[str, Any], data: Dataset, settings: Settings, device: str) -> RunSpec:
    """Return the specification of a method with all its options on data chosen by the same settings."""
    return RunSpec(
        dataset=data.name,
        protocol=data.protocol.name,
        method=method,
        fingerprint=data.fingerprint,
        options=options,
        budget=Budget(settings.epochs, seconds(settings.budget) if settings.budget else None, settings.phases),
        resize=data.resize,
        device=device,
        ks=settings.ks or data.ks,
        metrics=data.metrics,
        ties=settings.ties,
        data=data_choices(settings if data.resize is not None else replace(settings, decoder=Settings.decoder)),
        engine=settings.engine,
        mirror_test=settings.mirror_test and data.mirror,
        deterministic=settings.deterministic,
        sources=sources_of(method, options, settings.engine),
    )


def made_method(name: str, given: Mapping[str, Any]) -> Method | None:
    """Return a method with its options, or None where it cannot be made: its run will raise why, and be a failed row.

    Raises UsageError for options that it refuses.
    """
    try:
        made: Method = build(get_method(name), given, owner=f"method {name}")
    except (UsageError, KeyboardInterrupt):
        raise
    except BaseException:  # a file of somebody else's may raise anything, SystemExit too
        return None
    return made


def default_options(name: str) -> dict[str, Any]:
    """Return a method's options with their defaults; nothing of one that is not here, or cannot be made so."""
    if name not in find_plugins(METHOD):
        return {}
    try:
        made = made_method(name, {})
    except UsageError:  # an option without a default
        return {}
    return {} if made is None else values_of(made)


def run_cells(cells: Sequence[Cell], place: Workplace) -> Iterator[RunRecord]:
    """Run the cells in order, a failed one included, and yield each record as it is there."""
    for cell in cells:
        yield execute(cell.spec, cell.seed, cell.dataset, place)
