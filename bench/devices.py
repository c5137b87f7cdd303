"""What a device of torch's can do, and what memory a card has."""

from __future__ import annotations

import torch

SHARE = 0.4  # of a card's free memory, at most, for what is to stay there: the rest is for what is computed
_CONTEXT = 600 << 20  # bytes that a process takes on a card beside torch's tensors: CUDA itself and its libraries


def fetches(device: torch.device) -> bool:
    """Whether a device takes what it needs from the host's memory by itself, so that work can be sent to it ahead."""
    return device.type == "cuda"


def has_native_bfloat16(device: torch.device) -> bool:
    """Return whether bfloat16 matrix products run in hardware on the device (emulated ones are slower than float32)."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # torch 2.9, our oldest, has no public question for this on CPUs.
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())


def free_bytes(device: torch.device) -> int:
    """Return a card's free memory in bytes, with what torch has reserved and nothing holds."""
    free, _ = torch.cuda.mem_get_info(device)
    return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))


def card_bytes(device: torch.device) -> int:
    """Return the memory of a card in bytes, whoever holds it; 0 for what is no CUDA device."""
    return int(torch.cuda.get_device_properties(device).total_memory) if device.type == "cuda" else 0


def most_held(device: torch.device) -> int:
    """Return how many bytes of a card this process has held at most, 0 for what is no CUDA device.

    Measured by what torch has taken from the driver, which is more than its tensors took: it keeps what is freed.
    """
    return torch.cuda.max_memory_reserved(device) + _CONTEXT if device.type == "cuda" else 0
