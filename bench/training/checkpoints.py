"""Checkpoints as safetensors files: nothing in them can run code, and a half-written one is never seen."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from bench.contract import SimbenchError
from bench.files import replacing
from bench.naming import readable


def save_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any] | None = None) -> None:
    """Write tensors and JSON-able facts to one file: to a temporary name, fsynced, then renamed."""
    ready = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            save_file(_unshared(ready), temporary, metadata={"facts": json.dumps(dict(facts or {}))})
            temporary.chmod(0o666 & ~_umask())  # the library makes files that only their owner may read
    except (OSError, SafetensorError) as error:
        raise SimbenchError(f"cannot write {path}: {error}") from error


def load_tensors(path: Path, device: str = "cpu") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what ``save_tensors`` wrote: (tensors by name, facts). Raises SimbenchError if it is missing or damaged."""
    try:
        with _as_text(path) as name_of, safe_open(name_of, framework="pt", device=device) as file:
            facts = json.loads((file.metadata() or {}).get("facts", "{}"))
            # copies: a tensor that lies in the mapped file would keep Windows from replacing it
            return {name: file.get_tensor(name).clone() for name in file.keys()}, facts  # noqa: SIM118 - not a dict
    except (OSError, SafetensorError, json.JSONDecodeError) as error:
        raise SimbenchError(f"cannot read the weights in {path}: {error}") from error


@contextmanager
def _as_text(path: Path) -> Iterator[str]:
    """Yield a name of a file that is text, which the library asks for: where the path is none, by its open number."""
    if readable(str(path)) == str(path):
        yield str(path)
        return
    with path.open("rb") as file:
        yield f"/dev/fd/{file.fileno()}"


class FolderCheckpoints:
    """Checkpoints of one run: a file a name in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, name: str, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        save_tensors(self._path(name), tensors, facts)

    def load(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        path = self._path(name)
        return load_tensors(path) if path.is_file() else None

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"


def pack_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return an optimizer's state as flat tensors, ``<parameter number>.<name>``."""
    state = optimizer.state_dict()["state"]
    return {
        f"{number}.{name}": torch.as_tensor(value) for number, held in state.items() for name, value in held.items()
    }


def unpack_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put a packed state back into an optimizer made with the same parameters."""
    whole = optimizer.state_dict()
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        number, _, name = key.partition(".")
        like = parameters[int(number)]
        if tensor.shape == like.shape:
            # Files know no strides. Fused optimisers walk parameter and state side by side in memory: a channels-last
            # parameter with a contiguous state would pair the wrong numbers.
            tensor = torch.empty_like(like, dtype=tensor.dtype, requires_grad=False).copy_(tensor)  # noqa: PLW2901
        state.setdefault(int(number), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": whole["param_groups"]})


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def _unshared(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with no two sharing memory, which the format cannot express."""
    seen: set[int] = set()
    out = {}
    for name, tensor in tensors.items():
        out[name] = tensor.clone() if tensor.data_ptr() in seen else tensor
        seen.add(tensor.data_ptr())
    return out
