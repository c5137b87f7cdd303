"""Weights of Hugging Face's Hub: from its cache on this machine, or downloaded; without a network, a prompt no."""

from __future__ import annotations

import os
import socket
import threading
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import huggingface_hub

from bench.contract import SimbenchError

_FILES = ("model.safetensors", "pytorch_model.bin")  # what timm's repositories hold, the safer first
_WITHIN = 0.7  # seconds in which the Hub must take a connection; its own client would try for 46
_TRUE = {"1", "on", "yes", "true"}  # as huggingface_hub reads its variables


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
    obstacle = _obstacle()
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


def _obstacle() -> str:
    """Return why the Hub cannot be asked, or nothing; through a proxy, which answers for it, always nothing."""
    if any(os.environ.get(name, "").lower() in _TRUE for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")):
        return "HF_HUB_OFFLINE is set"
    parts = urlsplit(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if urllib.request.getproxies().get(parts.scheme) and not urllib.request.proxy_bypass(host):
        return ""
    outcome = [f"{host} does not answer"]

    def knock() -> None:
        try:
            socket.create_connection((host, port), timeout=_WITHIN).close()
            outcome[0] = ""
        except OSError as error:
            outcome[0] = f"{host} cannot be reached ({error.strerror or error})"

    thread = threading.Thread(target=knock, daemon=True)  # looking up a name may take longer than any time limit
    thread.start()
    thread.join(_WITHIN)
    return outcome[0]


def _how_to_provide(repository: str, model: str, file: str, why: str) -> str:
    return (
        f"{model}: no pretrained weights on this machine, and {why}. Do one of: get {file} of "
        f"https://huggingface.co/{repository} and say -o weights=FILE.safetensors; run once with a network; copy a "
        "Hugging Face cache that has it; say -o weights=none to start from random ones"
    )
