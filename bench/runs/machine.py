"""Which device to run on."""

from __future__ import annotations

import torch

from bench.contract import UsageError
from bench.naming import did_you_mean

DEVICES = ("auto", "cpu", "cuda", "mps")


def choose_device(name: str) -> torch.device:
    """Return the device that a word stands for; ``auto`` is a GPU where there is one.

    Raises UsageError for an unknown word or a device that is not there.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if there[kind]))
    kind, colon, number = name.partition(":")
    if kind not in there:
        raise UsageError(f"unknown device {name!r}{did_you_mean(name, DEVICES)} (known: {', '.join(DEVICES)})")
    if colon and not number.isdecimal():
        raise UsageError(f"unknown device {name!r}: after the colon stands a number, as in cuda:0")
    if not there[kind]:
        available = ", ".join(one for one, is_there in there.items() if is_there)
        raise UsageError(f"device {name} is not available on this machine (available: {available})")
    if kind == "cuda" and number and int(number) >= (count := torch.cuda.device_count()):
        raise UsageError(f"device {name} is not available on this machine: it has {count} of the kind")
    return torch.device(name)
