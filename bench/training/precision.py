"""Mixed precision where the hardware multiplies bfloat16 natively; plain float32 elsewhere."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def has_native_bfloat16(device: torch.device) -> bool:
    """Return whether bfloat16 matrix products run in hardware on the device (emulated ones are slower than float32)."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # torch 2.9, our oldest, has no public question for this on CPUs.
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())


def mixed_precision(device: torch.device) -> AbstractContextManager[object]:
    """Return the autocast context that training runs in on this device."""
    return torch.autocast(device.type, torch.bfloat16) if has_native_bfloat16(device) else nullcontext()
