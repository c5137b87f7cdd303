"""What a run found: all of run.json as frozen objects that check themselves, and its one writer and one reader."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from bench.contract.checks import Audit, Control, Thresholds
from bench.contract.datasets import Dataset
from bench.contract.errors import DataError
from bench.contract.images import DRAW, Draw, ImageShape
from bench.contract.methods import Baseline
from bench.contract.runs import RunSpec
from bench.contract.serialization import from_jsonable, to_jsonable

_LATER: dict[str, Any] = {"metrics": []}  # of a run's spec: runs from before it was there had it so
SCHEMA = 5  # of run.json; another number whenever a field here is added, removed, or means something else

Status = Literal["done", "failed"]


@dataclass(frozen=True)
class Provenance:
    """What made a result, outside its specification.

    simbench: its version. commit: hash of its checkout, None outside one; dirty: whether tracked files differ from
    it, or a plugin in use lies in no commit of its own checkout, None where that is not known; uncommitted: the
    files of those plugins. distributions: versions of the packages that brought a plugin in use, by name. date: ISO
    8601, UTC. command: as it was typed. python: its version; packages: versions by name, None where not installed.
    system, cpu: as the system names them; ram_gib: in 2^30 bytes. cores: that the process could use. gpu: its name,
    None where none was used. device: its kind. threads: of the CPU that the run could use.
    """

    simbench: str
    commit: str | None
    dirty: bool | None
    date: str
    command: str
    python: str
    packages: Mapping[str, str | None]
    system: str
    cpu: str
    cores: int
    ram_gib: float
    gpu: str | None
    device: str
    threads: int
    distributions: Mapping[str, str] = field(default_factory=dict)
    uncommitted: tuple[str, ...] = ()


@dataclass(frozen=True)
class DataFacts:
    """The data of a run, as it was cut.

    shape: of its images, as the method was given them; classes: how many there are; learnt_classes: the names of those
    that training saw, None where it saw all; gallery_is_train, query_in_gallery: as its protocol says of itself;
    seen_classes: whether the classes asked for are among those that training or validation show: all (true), none
    (false), or some (None); mirror: whether images may be flipped to augment them; notes: what its loader had to say;
    counts: images by part (train, validation, query, gallery); collection_digest: of the data before they were cut,
    the same for all draws, empty where it is not known.
    """

    shape: ImageShape
    classes: int
    learnt_classes: tuple[str, ...] | None
    gallery_is_train: bool
    query_in_gallery: bool
    seen_classes: bool | None
    mirror: bool
    notes: tuple[str, ...]
    counts: Mapping[str, int]
    collection_digest: str = ""

    @classmethod
    def of(cls, dataset: Dataset) -> DataFacts:
        """Return the facts of a data set."""
        return cls(
            shape=dataset.shape,
            classes=len(dataset.classes),
            learnt_classes=dataset.learnt_classes if dataset.learnt_classes != dataset.classes else None,
            gallery_is_train=dataset.protocol.gallery_is_train,
            query_in_gallery=dataset.protocol.query_in_gallery,
            seen_classes=dataset.seen_classes,
            mirror=dataset.mirror,
            notes=dataset.notes,
            counts={name: len(part) for name, part in dataset.parts().items()},
            collection_digest=dataset.collection_digest,
        )


@dataclass(frozen=True)
class Costs:
    """What a method costs in use, counted and not timed.

    embedding_dim: numbers in a vector; bytes_per_vector: as float32. n_parameters: learnt numbers that an embedding
    takes, None where the method does not say. flops: of embedding one image, None where they cannot be counted.
    network: digest of the operations that it takes, None where the method has no network. peak_embed_mb: memory (2^20
    bytes) of embedding 64 images, None where it cannot be known.
    """

    embedding_dim: int
    bytes_per_vector: int
    n_parameters: int | None = None
    flops: int | None = None
    network: str | None = None
    peak_embed_mb: float | None = None


@dataclass(frozen=True)
class Digests:
    """Hex digests by which two runs that should differ are seen to be the same.

    vectors: of all vectors; per_query: of every query's map and mean rank, None where fewer than 20 values differ, as
    two good methods then agree by chance.
    """

    vectors: str
    per_query: str | None


@dataclass(frozen=True)
class EngineFacts:
    """What computed the vectors: its name and, None for torch, version, precision and lowest_cosine to torch's."""

    name: str
    version: str | None = None
    precision: str | None = None
    lowest_cosine: float | None = None


@dataclass(frozen=True)
class RunResult:
    """One run, done or failed: which it was, how it went, and every number that came of it.

    Of every run: spec and seed decide it; key: its specification's, as its folder is called; status; seconds: wall
    time of all of it; provenance; data. reason: why it failed, in one line; traceback: where, empty if it did not.

    Of runs that are done, empty or None in others:
    scores: mean over queries by metric; macro: mean of the classes' means; ci95: ends of the 95 % interval over other
    images of the same classes; ci95_other_classes: over other classes, empty where there are fewer than three. Metrics
    that no query has a value of are not in them.
    flags: what a reader of the scores must know; controls: the sanity checks; audit: copies in the data; thresholds:
    None where validation has no pairs of both kinds; digests.
    trained: whether anything was trained in epochs; uses_labels: whether the method may look at labels;
    baseline: what kind of baseline it is, None for a contestant;
    deviations: what the method does otherwise than all trained ones do by default, by option; has_weights: whether its
    state was kept. engine; costs.
    files: SHA-256, in hex, of every file that the run wrote beside run.json, by name.
    timings: wall seconds by stage (fit_seconds, ..., and fit_cpu_seconds); latency: milliseconds and images a second
    of each timed call; load: processors that other programs kept busy meanwhile, None where the system does not say;
    pictures_timed: which pictures the timed calls decoded.

    Raises:
        DataError: The parts contradict each other.
    """

    spec: RunSpec
    seed: int
    key: str
    status: Status
    seconds: float
    provenance: Provenance
    data: DataFacts
    reason: str = ""
    traceback: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)
    macro: Mapping[str, float] = field(default_factory=dict)
    ci95: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    ci95_other_classes: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    controls: tuple[Control, ...] = ()
    audit: Audit | None = None
    thresholds: Thresholds | None = None
    digests: Digests | None = None
    trained: bool = False
    uses_labels: bool = True
    baseline: Baseline | None = None
    deviations: Mapping[str, Any] = field(default_factory=dict)
    has_weights: bool = False
    engine: EngineFacts | None = None
    costs: Costs | None = None
    timings: Mapping[str, float] = field(default_factory=dict)
    latency: Mapping[str, float] = field(default_factory=dict)
    load: float | None = None
    pictures_timed: str = ""
    files: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.seed < 0 or self.seconds < 0:
            raise DataError(f"a run's seed and seconds are 0 or more, got {self.seed} and {self.seconds}")
        if self.status == "failed" and not self.reason:
            raise DataError("a failed run has a reason")
        if self.status == "failed" and (self.scores or self.costs):
            raise DataError("a failed run has no scores and no costs")
        if self.status == "done" and (self.reason or not self.scores or self.costs is None):
            raise DataError("a finished run has scores and costs, and no reason to have failed")
        unscored = [name for name in (*self.macro, *self.ci95, *self.ci95_other_classes) if name not in self.scores]
        if unscored:
            raise DataError(f"{unscored[0]} has an interval or a mean of classes, but no score")
        both = (*self.ci95.items(), *self.ci95_other_classes.items())
        crossed = [name for name, (low, high) in both if low > high]
        if crossed:
            raise DataError(f"the interval of {crossed[0]} ends before it begins")

    @property
    def dataset(self) -> str:
        return self.spec.dataset

    @property
    def protocol(self) -> str:
        return self.spec.protocol

    @property
    def method(self) -> str:
        return self.spec.method

    @property
    def place(self) -> tuple[str, str, str]:
        """What runs that may be compared share: data set, protocol, and the data's fingerprint."""
        return self.spec.dataset, self.spec.protocol, self.spec.fingerprint

    @property
    def draw(self) -> Draw:
        """Which draw of images it was: the split seed."""
        found: Draw = self.spec.data.get(DRAW, 0)
        return found

    @property
    def undrawn(self) -> RunSpec | None:
        """What it shares with its runs on other draws of the classes to test on; None where those are no one row.

        They are where the classes are new: other split seeds of seen classes ask nearly the same. The fingerprint is of
        the collection before it was cut, and of what else was chosen of it.
        """
        if not self.data.collection_digest or self.data.seen_classes is not False:
            return None
        choices = {name: value for name, value in self.spec.data.items() if name != DRAW}
        told = json.dumps([self.data.collection_digest, choices], sort_keys=True)
        revision = hashlib.sha256(told.encode()).hexdigest()
        return replace(self.spec, fingerprint=revision, data=choices)

    @property
    def queries(self) -> tuple[int, int] | None:
        """How many queries had something to find, and how many there were; None where a run does not say."""
        asked, left_out = self.data.counts.get("query"), self.scores.get("queries_without_relevant")
        return None if asked is None or left_out is None else (asked - int(left_out), asked)

    @property
    def embedding_dim(self) -> int:
        """Numbers in a vector. Raises DataError for a failed run, which has none."""
        if self.costs is None:
            raise DataError(f"this run of {self.method} failed ({self.reason}): it has no vectors")
        return self.costs.embedding_dim

    @classmethod
    def failed(
        cls,
        spec: RunSpec,
        seed: int,
        dataset: Dataset,
        *,
        provenance: Provenance,
        reason: str,
        seconds: float,
        traceback: str = "",
    ) -> RunResult:
        """Return the result of a run that failed: its reason in place of scores."""
        data, reason = DataFacts.of(dataset), reason or "no reason was given"
        return cls(spec, seed, spec.key, "failed", seconds, provenance, data, reason, traceback)

    def to_json(self) -> dict[str, Any]:
        """Return all of it as run.json has it, the schema number first."""
        return {"schema": SCHEMA, **to_jsonable(self)}

    @classmethod
    def from_json(cls, content: Any) -> RunResult:
        """Return what ``to_json`` wrote. Raises DataError for another schema and for anything that does not fit."""
        schema = content.get("schema") if isinstance(content, Mapping) else None
        if schema != SCHEMA:
            age = "an older simbench made it" if isinstance(schema, int) and schema < SCHEMA else "it is no run of ours"
            raise DataError(f"{age}: it has schema {schema}, this simbench reads {SCHEMA}")
        rest = {name: value for name, value in content.items() if name != "schema"}
        if isinstance(rest.get("spec"), Mapping):
            rest["spec"] = _LATER | dict(rest["spec"])
        found = from_jsonable(cls, rest)
        again = to_jsonable(found)
        lost = [name for name in again if name not in rest or again[name] != rest[name]]
        if lost:  # a default must not take the place of what is not there
            raise DataError(f"its {lost[0]} lacks something")
        return found
