"""torchvision's own data set classes, behind one interface: parts of pairs, whatever arguments a class has for them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.contract import DataError, DataPlace, UsageError
from bench.environment import unreachable
from bench.naming import did_you_mean

WAYS: Mapping[str, Sequence[tuple[str, Any]]] = {  # part: the arguments that may ask for it, the first that works
    "train": (("train", True), ("split", "train"), ("split", "trainval")),
    "validation": (("split", "val"), ("split", "valid")),
    "test": (("train", False), ("split", "test")),
}
ADDRESSES = ("url", "mirrors", "urls", "download_url_prefix", "_URL")  # where its classes keep what they download from


@dataclass(frozen=True)
class Opened:
    """A part as torchvision gives it: a sequence of pairs of image and class number."""

    pairs: Any
    classes: tuple[str, ...]


def class_called(name: str) -> Any:
    """Return a class of torchvision.datasets. Raises UsageError with the likeliest name."""
    from torchvision import datasets  # noqa: PLC0415 - costs seconds, and only here

    known = [one for one in datasets.__all__ if inspect.isclass(getattr(datasets, one))]
    if name not in known:
        raise UsageError(f"torchvision has no data set {name!r}{did_you_mean(name, known)} (give torchvision:<Class>)")
    return getattr(datasets, name)


def open_parts(cls: Any, place: DataPlace) -> tuple[Path, dict[str, Opened]]:
    """Open a set where its files are, else download it into the cache. Raises DataError with torchvision's reason."""
    roots = [base for base in (place.root, place.cache / "torchvision") if base is not None]
    failure = ""
    for root in roots:
        try:
            return root, _parts(cls, root, download=False)
        except (RuntimeError, OSError, ImportError) as error:
            failure = " ".join(str(error).split()) or type(error).__name__
    obstacle = "downloading is switched off" if not place.download else _unreachable(cls)
    if "download" not in inspect.signature(cls).parameters:
        obstacle = "torchvision does not download it"
    if not obstacle:
        roots[-1].mkdir(parents=True, exist_ok=True)
        try:
            return roots[-1], _parts(cls, roots[-1], download=True)
        except (RuntimeError, OSError, ImportError) as error:
            obstacle = f"the download failed: {' '.join(str(error).split())}"
    raise DataError(
        f"torchvision:{cls.__name__}: not found under {', '.join(map(str, roots))} ({failure[:200]}), and {obstacle}. "
        f"Run `simbench fetch torchvision:{cls.__name__}` with a network, or name a folder that torchvision downloaded "
        "it into with --data-root or SIMBENCH_DATA"
    )


def _parts(cls: Any, root: Path, *, download: bool) -> dict[str, Opened]:
    """Return the parts a class has; one that knows no parts is the train part, to be cut."""
    known = inspect.signature(cls).parameters
    fixed: dict[str, Any] = {"root": str(root)} if "root" in known else {}
    if download:
        fixed["download"] = True
    found = {}
    for part, ways in WAYS.items():
        for argument, value in ways:
            if argument not in known:
                continue
            try:
                pairs = cls(**fixed, **{argument: value})
            except ValueError:  # it has no such split
                continue
            except TypeError as error:
                raise UsageError(f"torchvision:{cls.__name__} needs more than a folder ({error})") from error
            found[part] = Opened(pairs, _classes(pairs))
            break
    if not found:
        try:
            pairs = cls(**fixed)
        except TypeError as error:
            raise UsageError(f"torchvision:{cls.__name__} needs more than a folder ({error})") from error
        found["train"] = Opened(pairs, _classes(pairs))
    return found


def _classes(pairs: Any) -> tuple[str, ...]:
    """Return the class names a set tells, or nothing."""
    names = getattr(pairs, "classes", None)
    if not isinstance(names, (list, tuple)):
        return ()
    return tuple(name if isinstance(name, str) else "/".join(map(str, name)) for name in names)


def _unreachable(cls: Any) -> str:
    """Return why the host that a set comes from cannot be reached, or nothing where its class tells none."""
    for name in ADDRESSES:
        found = getattr(cls, name, None)
        first = next(iter(found), "") if isinstance(found, (list, tuple)) else found
        if isinstance(first, str) and first.startswith("http"):
            return unreachable(first)
    return ""
