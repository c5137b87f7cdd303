"""Checkpoints as safetensors files: nothing in them can run code, and a half-written one is never seen."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save, save_file
from torch import Tensor

from bench.contract import SimbenchError
from bench.files import digest_of_arrays, replacing
from bench.naming import readable

logger = logging.getLogger(__name__)


def save_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any] | None = None) -> None:
    """Write tensors and JSON-able facts to one file: to a temporary name, fsynced, then renamed."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            save_file(_ready(tensors), temporary, metadata=_metadata(facts))
            temporary.chmod(0o666 & ~_umask())  # the library makes files that only their owner may read
    except (OSError, SafetensorError) as error:
        raise SimbenchError(f"cannot write {path}: {error}") from error


def packed_tensors(tensors: Mapping[str, Tensor], facts: Mapping[str, Any] | None = None) -> bytes:
    """Return the file that ``save_tensors`` would write."""
    return save(_ready(tensors), metadata=_metadata(facts))


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


DAMAGED = (SimbenchError, ValueError, AttributeError, RuntimeError)  # what flipped bits make of a header


def verified_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return a checkpoint's tensors, and whose it is with its facts. Raises one of DAMAGED where it was not written."""
    tensors, content = load_tensors(path)
    if content.pop("digest", None) != digest_of_tensors(content, tensors):
        raise SimbenchError(f"{path}: a damaged checkpoint")
    return tensors, content


class FolderCheckpoints:
    """Checkpoints of one run: a file a name in one folder, with its digest and whose it is inside.

    owner: what tells the run from every other; a checkpoint of another owner or name is not taken.
    """

    def __init__(self, folder: Path, owner: str = "") -> None:
        self.folder = folder
        self._owner = owner

    def save(self, name: str, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        ready = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
        content = {"owner": self._owner, "name": name, "facts": dict(facts)}
        save_tensors(self._path(name), ready, {**content, "digest": digest_of_tensors(content, ready)})

    def load(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return what was saved, or None. What is damaged, or another run's, is thrown away with a warning."""
        path = self._path(name)
        if not path.is_file():
            return None
        try:
            tensors, content = verified_checkpoint(path)
            with suppress(OSError):  # of what others keep
                os.utime(path)  # what was not used for long is pruned first
            if (content["owner"], content["name"]) != (self._owner, name):
                raise SimbenchError(f"{path}: the checkpoint of another run or phase")
        except DAMAGED as error:
            first = (str(error).splitlines() or [type(error).__name__])[0]
            logger.warning("%s; it is thrown away, and what it held is trained again", first)
            path.unlink(missing_ok=True)
            return None
        return tensors, content["facts"]

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


def digest_of_tensors(content: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """Return the digest of JSON-able content and of tensors on the processor, whatever their dtype."""
    kinds = {name: [str(tensor.dtype), list(tensor.shape)] for name, tensor in tensors.items()}
    raw = {name: tensor.reshape(-1).view(torch.uint8).numpy() for name, tensor in tensors.items()}
    return digest_of_arrays({"content": content, "kinds": kinds}, raw)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def _metadata(facts: Mapping[str, Any] | None) -> dict[str, str]:
    return {"facts": json.dumps(dict(facts or {}))}


def _ready(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return _unshared({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})


def _unshared(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with no two sharing memory, which the format cannot express."""
    seen: set[int] = set()
    out = {}
    for name, tensor in tensors.items():
        out[name] = tensor.clone() if tensor.data_ptr() in seen else tensor
        seen.add(tensor.data_ptr())
    return out
