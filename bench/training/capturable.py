"""What a CUDA graph cannot hold, told by watching a computation once: before a capture fails, or without a GPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# Operators that make the host wait for a number of the device's, or whose result's size is such a number.
_WAITS = {
    "_local_scalar_dense": "a number is read (.item(), float(), a branch on a value)",
    "is_nonzero": "a branch is taken on a value",
    "equal": "two tensors are compared for the host",
    "nonzero": "places are listed (nonzero, a boolean index)",
    "masked_select": "a mask selects",
    "_unique2": "values are listed once (unique)",
    "unique_dim": "values are listed once (unique)",
    "unique_consecutive": "values are listed once (unique_consecutive)",
    "bincount": "values are counted (bincount)",
}


def what_no_graph_holds(act: Callable[[], object]) -> str:
    """Do it, and return the first thing in it that no graph can hold, with the operator's name; nothing if all can.

    A graph's addresses and sizes are fixed, and nothing in it may wait for the device or read the host's memory.
    """
    with _Watch() as watch:
        act()
    found: str = watch.found
    return found


class _Watch(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as torch has it
        self.found = ""

    def __torch_dispatch__(
        self, func: Any, types: Sequence[Any], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if not self.found:
            self.found = _refusal(func, args, out)
        return out


def _refusal(func: Any, args: Sequence[Any], out: object) -> str:
    name = func.overloadpacket.__name__
    if name in _WAITS:
        return f"{name}: {_WAITS[name]}"
    tensors = [one for one in tree_leaves((args, out)) if isinstance(one, Tensor)]
    if name in ("index", "index_put", "index_put_") and any(one.dtype == torch.bool for one in _places(args)):
        return f"{name}: {_WAITS['nonzero']}"
    if len({one.device.type for one in tensors}) > 1:
        return f"{name}: numbers travel between the host and the device"
    return ""


def _places(args: Sequence[Any]) -> list[Tensor]:
    """Return the tensors that an indexing operator is given as places."""
    return [one for one in args[1] if isinstance(one, Tensor)]
