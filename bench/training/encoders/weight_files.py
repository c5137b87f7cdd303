"""Weights from a file of the user's into a timm model: nothing in it can run code, and what does not fit is named."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import huggingface_hub
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from bench.contract import SimbenchError, UsageError
from bench.environment import hub_obstacle
from bench.naming import first_few, reason_of

logger = logging.getLogger(__name__)

_FILES = ("model.safetensors", "pytorch_model.bin")  # what timm's repositories hold, the safer first


def hub_file(repository: str, model: str, named: str | None = None) -> Path:
    """Return the file with a model's weights; what Hugging Face's cache has already is not asked for again.

    repository: ``owner/name``, or ``owner/name@revision``. model: its name, for errors. named: the file, where it is
    not called as usual. Raises SimbenchError in under a second where there is neither copy nor network.
    """
    home, _, revision = repository.partition("@")
    files = (named,) if named else _FILES
    for file in files:
        # No request is made: the client would ask whether there is something newer, for 46 seconds without a network.
        kept = huggingface_hub.try_to_load_from_cache(home, file, revision=revision or None)
        if isinstance(kept, str):
            return Path(kept)
    obstacle = hub_obstacle()
    if obstacle:
        raise SimbenchError(_how_to_provide(home, model, files[0], obstacle))
    try:
        for file in files:
            if huggingface_hub.file_exists(home, file, revision=revision or None):
                return Path(huggingface_hub.hf_hub_download(home, file, revision=revision or None))
    except Exception as error:  # the Hub's own errors have many kinds
        why = f"the Hub gave none ({reason_of(error)})"
        raise SimbenchError(_how_to_provide(home, model, files[0], why)) from error
    raise SimbenchError(_how_to_provide(home, model, files[0], f"the Hub has no {' or '.join(files)} there"))


def _how_to_provide(repository: str, model: str, file: str, why: str) -> str:
    return (
        f"{model}: no pretrained weights on this machine, and {why}. Do one of: get {file} of "
        f"https://huggingface.co/{repository} and say -o weights=FILE.safetensors; run once with a network; copy a "
        "Hugging Face cache that has it; say -o weights=none to start from random ones"
    )


_SHOWN = 3  # names of tensors that an error lists of a kind; a wrong model's file has hundreds
# Where training code puts a model's tensors in a checkpoint, averaged weights before plain ones, as timm chooses.
_PLACES = (
    "state_dict_ema", "model_ema", "ema_state_dict", "state_dict", "model_state_dict", "model", "net", "network",
    "module", "backbone", "encoder", "weights", "params",
)  # fmt: skip
# What wrappers put before every name: data parallelism, torch.compile, and whoever holds the network as an attribute.
_PREFIXES = ("module.", "_orig_mod.", "model.", "backbone.", "encoder.", "net.", "network.")
_NOT_WEIGHTS = {  # how other files begin that bear such a file's name
    b"\x89HDF": "an HDF5 file, of Keras perhaps",
    b"\x1f\x8b": "a gzip file; unpack it",
    b"version https": "a Git LFS pointer; get the file itself (git lfs pull)",
    b"<": "a web page, not what it links to",
    b"{": "JSON; perhaps the index of several files",
}


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return a file's tensors by name; of a training checkpoint its averaged weights, or else its plain ones.

    The content says what a file is: safetensors, or what torch.save wrote. Nothing of a pickle but tensors is loaded.
    Raises UsageError for a file that is not there, and SimbenchError for one that cannot be read, which holds for
    pickles of anything but tensors and plain values.
    """
    if not os.path.isfile(path):
        raise UsageError(f"weights must be pretrained, none, or a file of tensors, got {str(path)[:300]!r}")
    try:
        with path.open("rb") as file:
            head = file.read(16)
        if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
            return dict(load_file(path))
        strange = next((what for start, what in _NOT_WEIGHTS.items() if head.startswith(start)), "")
        if strange:
            raise SimbenchError(f"cannot read the weights in {path}: {strange}")
        with path.open("rb") as file:  # of a path, torch would believe the suffix
            content = torch.load(file, map_location="cpu", weights_only=True)
    except SimbenchError:
        raise
    except UnpicklingError as error:
        raise SimbenchError(
            f"cannot read the weights in {path}: it holds more than tensors, or is damaged ({_first_line(error)}); "
            "open it where it was made, and save the model's state_dict() alone"
        ) from error
    except Exception as error:  # a damaged file can make the readers raise almost anything
        raise SimbenchError(f"cannot read the weights in {path}: {_first_line(error)}") from error
    return _tensors_in(content, path)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _tensors_in(content: object, path: Path) -> dict[str, Tensor]:
    """Return the tensors by name in what a checkpoint holds: at its top, in a usual place, or in its only mapping."""
    if not isinstance(content, Mapping):
        raise SimbenchError(
            f"cannot read the weights in {path}: no tensors by name in it, but a {type(content).__name__}"
        )
    if any(isinstance(value, Tensor) for value in content.values()):
        return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    inside = {str(name): value for name, value in content.items() if _holds_tensors(value)}
    usual = [name for name in _PLACES if name in inside]
    if not usual and len(inside) != 1:
        found = first_few([str(name) for name in content], _SHOWN) or "nothing"
        several = "several models" if inside else "no tensors by name"
        raise SimbenchError(
            f"cannot read the weights in {path}: {several} in it (found: {found}); save the one's state_dict() alone"
        )
    return _tensors_in(inside[usual[0] if usual else next(iter(inside))], path)


def _holds_tensors(value: object) -> bool:
    return isinstance(value, Mapping) and any(isinstance(one, Tensor) or _holds_tensors(one) for one in value.values())


def load_weights(model: nn.Module, weights: dict[str, Tensor], source: str) -> None:
    """Put tensors by name into a timm model without a classifier; a classifier among them is left out.

    A prefix that all names share and the model's do not is stripped, with a warning. Upstream's own names and position
    embeddings of another size are converted where timm knows how.
    source: what to call them in the SimbenchError that names all that does not fit.
    """
    weights = _without_prefix(weights, model, source)
    kept = _without_classifier(_converted(model, weights, source), model)
    wanted = model.state_dict()
    problems = {
        "of another shape": [n for n in kept if n in wanted and kept[n].shape != wanted[n].shape],
        # Files from before 2018 do not count batches; nothing depends on the count.
        "missing": [n for n in wanted if n not in kept and not n.endswith(".num_batches_tracked")],
        "not the model's": [n for n in kept if n not in wanted],
    }
    if any(problems.values()):
        said = "; ".join(f"{first_few(names, _SHOWN)} {kind}" for kind, names in problems.items() if names)
        raise SimbenchError(f"{source} does not fit {_name_of(model)}: {said}")
    model.load_state_dict(kept, strict=False)


def _without_prefix(weights: dict[str, Tensor], model: nn.Module, source: str) -> dict[str, Tensor]:
    """Return the tensors without what wrappers put before every one of their names."""
    own = tuple(prefix for prefix in _PREFIXES if any(name.startswith(prefix) for name in model.state_dict()))
    names, stripped = list(weights), ""
    while names:
        prefix = next((one for one in _PREFIXES if all(name.startswith(one) for name in names)), "")
        if not prefix or prefix in own:
            break
        names, stripped = [name.removeprefix(prefix) for name in names], stripped + prefix
    if stripped:
        logger.warning("%s: the prefix %s is stripped from the names of all its tensors", source, stripped)
    return dict(zip(names, weights.values(), strict=True))


def _converted(model: nn.Module, weights: dict[str, Tensor], source: str) -> dict[str, Tensor]:
    """Return what the converter in the model's timm module makes of the weights, or as they are without one."""
    home = sys.modules[type(model).__module__]
    convert: Callable[[Any, nn.Module], dict[str, Tensor]] | None = getattr(home, "checkpoint_filter_fn", None)
    if convert is None:
        return weights
    try:
        return dict(convert(dict(weights), model))
    except Exception as error:  # converters look names up that another model's file does not have
        raise SimbenchError(f"{source} does not fit {_name_of(model)}: {type(error).__name__}: {error}") from error


def _without_classifier(weights: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    facts: dict[str, Any] = getattr(model, "pretrained_cfg", {})
    named = facts.get("classifier") or ()
    layers = (named,) if isinstance(named, str) else tuple(named)
    parts = tuple(f"{layer}.{part}" for layer in layers for part in ("weight", "bias"))
    return {name: tensor for name, tensor in weights.items() if name not in parts}


def _name_of(model: nn.Module) -> str:
    facts: dict[str, Any] = getattr(model, "pretrained_cfg", {})
    return str(facts.get("architecture") or type(model).__name__)
