"""Mixed precision: which number format matrix products run in, by name and by what the hardware has."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

from bench.contract import UsageError
from bench.devices import has_native_bfloat16

Precision = Literal["auto", "float32", "bfloat16", "float16"]


def number_type(precision: Precision, device: torch.device) -> torch.dtype | None:
    """Return the type that autocast shortens numbers to, None for float32 throughout.

    ``auto`` is bfloat16 where the hardware multiplies it, else float16 on a GPU, else float32. Raises UsageError for
    float16 off a GPU, where its narrow range has no scaler's help.
    """
    if precision == "float16" and device.type != "cuda":
        raise UsageError(f"precision=float16 needs a CUDA device, not {device.type}; try bfloat16 or auto")
    if precision == "bfloat16" or (precision == "auto" and has_native_bfloat16(device)):
        return torch.bfloat16
    if precision == "float16" or (precision == "auto" and device.type == "cuda"):
        return torch.float16
    return None


def mixed_precision(device: torch.device, precision: Precision = "auto") -> AbstractContextManager[object]:
    """Return the autocast context that training runs in on this device."""
    short = number_type(precision, device)
    return nullcontext() if short is None else torch.autocast(device.type, short)
