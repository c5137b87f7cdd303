"""Weights from a file of the user's into a timm model: nothing in it can run code, and what does not fit is named."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
from timm.models import load_state_dict
from torch import Tensor, nn

from bench.contract import SimbenchError, UsageError
from bench.environment import hub_obstacle
from bench.naming import first_few, reason_of

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


_KINDS = (".safetensors", ".pth", ".pt", ".bin")
_SHOWN = 3  # names of tensors that an error lists of a kind; a wrong model's file has hundreds


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return a file's tensors by name; of a training checkpoint its averaged weights, or else its plain ones.

    Raises UsageError for a file that is not there or of no known kind, and SimbenchError for one that cannot be read,
    which holds for pickles of anything but tensors.
    """
    if path.suffix not in _KINDS or not path.is_file():
        raise UsageError(f"weights must be pretrained, none, or a file ({', '.join(_KINDS)}), got {str(path)!r}")
    try:
        return dict(load_state_dict(str(path), weights_only=True))
    except Exception as error:  # a damaged file can make the readers raise almost anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise SimbenchError(f"cannot read the weights in {path}: {reason}") from error


def load_weights(model: nn.Module, weights: dict[str, Tensor], source: str) -> None:
    """Put tensors by name into a timm model without a classifier; a classifier among them is left out.

    Upstream's own names and position embeddings of another size are converted where timm knows how.
    source: what to call them in the SimbenchError that names all that does not fit.
    """
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
