"""A CUDA graph's rules on a CPU: what a computation did is done again, operator by operator, on the same memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def recorded(act: Callable[[], object]) -> Callable[[], object]:
    """Return what does again what ``act`` does to tensors, as a replayed graph does: no line of Python is run.

    Numbers are those of the recording, and so are the places of all tensors. Unlike a capture, recording also runs it.
    """
    with _Recorder() as recorder:
        act()
    done = recorder.done

    def replay() -> None:
        with torch.no_grad():
            for func, args, kwargs, out in done:
                new = func(*args, **kwargs)
                if not any(one.alias_info for one in func._schema.returns):  # a view lies where it lay
                    for there, here in zip(tree_leaves(out), tree_leaves(new), strict=True):
                        if isinstance(there, Tensor):
                            there.copy_(here)

    return replay


class _Recorder(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as torch has it
        self.done: list[tuple[Any, Sequence[Any], Mapping[str, Any], Any]] = []

    def __torch_dispatch__(
        self, func: Any, types: Sequence[Any], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        self.done.append((func, args, kwargs or {}, out))
        return out
