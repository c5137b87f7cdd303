"""Weights of Hugging Face's Hub: from its cache on this machine, or downloaded; without a network, a prompt no."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub

from bench.contract import SimbenchError
from bench.online import hub_obstacle

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
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise SimbenchError(_how_to_provide(home, model, files[0], f"the Hub gave none ({reason})")) from error
    raise SimbenchError(_how_to_provide(home, model, files[0], f"the Hub has no {' or '.join(files)} there"))


def _how_to_provide(repository: str, model: str, file: str, why: str) -> str:
    return (
        f"{model}: no pretrained weights on this machine, and {why}. Do one of: get {file} of "
        f"https://huggingface.co/{repository} and say -o weights=FILE.safetensors; run once with a network; copy a "
        "Hugging Face cache that has it; say -o weights=none to start from random ones"
    )
