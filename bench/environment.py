"""What surrounds a process: its processors, the cache folder, folders of plugins, the network."""

from __future__ import annotations

import importlib
import os
import socket
import sys
import threading
import urllib.request
from contextlib import AbstractContextManager
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit

import platformdirs
from threadpoolctl import ThreadpoolController

from bench.contract import UsageError

_CACHED_PIXELS = 16 * 224 * 224
# A card is busy from some hundred photographs on. More small images at a time, as their kernels are launched no faster
# than those of large ones; but no more than this, which networks that enlarge them to 224 pixels still have room for.
_CARD_PIXELS, _CARD_IMAGES = 256 * 224 * 224, 1024


def processors() -> int:
    """Return how many processors this process may use, at least 1."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def blas_threads(count: int) -> AbstractContextManager[object]:
    """Return a context in which NumPy's and SciPy's matrix products use so many threads."""
    limiter: AbstractContextManager[object] = _blas(len(sys.modules)).limit(limits=count, user_api="blas")
    return limiter


@lru_cache(maxsize=1)
def _blas(modules: int) -> ThreadpoolController:
    """Look through all loaded libraries, for milliseconds: again only where a module that came since may have more."""
    return ThreadpoolController()


def images_at_once(height: int, width: int, device: str, most: int | None = None) -> int:
    """Return how many images of a size a network is best shown at a time where nothing is learnt from them.

    On a CPU no more than 16 of 224x224 pixels, whose activations its cache holds: of 128 or more, an image takes 1.7
    times as long. On a card 256 of these, and more of smaller ones. device: its type, such as cuda; most: by default
    256 on a CPU and 1,024 on a card.
    """
    pixels, usual = (_CACHED_PIXELS, 256) if device == "cpu" else (_CARD_PIXELS, _CARD_IMAGES)
    return max(1, min(usual if most is None else most, pixels // (height * width)))


def memory_bytes() -> int:
    """Return how many bytes of memory the machine has; 0 where nobody says."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 0


def user_path(word: str | os.PathLike[str]) -> Path:
    """Return a path as a user wrote it, ``~`` opened; one of nobody's home stays as it is, a path that is not there."""
    return Path(os.path.expanduser(word))


def cache_folder() -> Path:
    """Return ``SIMBENCH_CACHE`` if that is set, else our folder in the user's cache directory, as the system has it.

    Raises UsageError where that is no absolute path: a relative one would be another cache in every folder.
    """
    if os.environ.get("SIMBENCH_CACHE"):
        return user_path(os.environ["SIMBENCH_CACHE"])
    try:
        found = platformdirs.user_cache_path("simbench", appauthor=False, opinion=False)
    except RuntimeError:  # some versions of it raise, some go on with a relative path
        found = Path()
    if not found.is_absolute():
        why = "XDG_CACHE_HOME is not absolute" if os.environ.get("XDG_CACHE_HOME") else "this user has no home folder"
        raise UsageError(f"no place for the cache ({why}); set SIMBENCH_CACHE to a folder")
    return found


METHOD_FOLDERS, DATASET_FOLDERS = "SIMBENCH_METHODS", "SIMBENCH_DATASETS"


def folders_named_by(variable: str) -> list[Path]:
    """Return the folders that an environment variable names, absolute, none where it is not set."""
    named = os.environ.get(variable, "").split(os.pathsep)
    return [user_path(one).absolute() for one in named if one]


def plugin_folders() -> dict[str, str]:
    """Return the variables that name folders of the user's plugins, for a process elsewhere."""
    found = {variable: folders_named_by(variable) for variable in (METHOD_FOLDERS, DATASET_FOLDERS)}
    return {variable: os.pathsep.join(map(str, folders)) for variable, folders in found.items() if folders}


_WITHIN = 0.7  # seconds in which a host must take a connection
_TRUE = {"1", "on", "yes", "true"}  # as huggingface_hub reads its variables


def unreachable(address: str, seconds: float = _WITHIN) -> str:
    """Return why a host cannot be reached, or nothing; through a proxy, which answers for it, always nothing.

    seconds: in which it must take a connection, however many addresses it has.
    """
    parts = urlsplit(address)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if urllib.request.getproxies().get(parts.scheme) and not urllib.request.proxy_bypass(host):
        return ""
    outcome = [f"{host} does not answer within {seconds:g} s"]

    def knock() -> None:
        try:
            socket.create_connection((host, port), timeout=seconds).close()
            outcome[0] = ""
        except OSError as error:
            outcome[0] = f"{host} cannot be reached ({error.strerror or error})"

    thread = threading.Thread(target=knock, daemon=True)  # looking up a name may take longer than any time limit
    thread.start()
    thread.join(seconds)
    return outcome[0]


def hub_obstacle() -> str:
    """Return why Hugging Face's Hub cannot be asked, or nothing."""
    if any(os.environ.get(name, "").lower() in _TRUE for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")):
        return "HF_HUB_OFFLINE is set"
    return unreachable(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")


def require_package(module: str, asker: str, package: str, wanted: str) -> ModuleType:
    """Return an optional module. Raises UsageError, which should be before anything takes long, where it is missing.

    asker: what needs it, as the user wrote it; package: what it comes with; wanted: what ``pip install`` is given.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UsageError(f"{asker} needs the package {package}: pip install {wanted}") from error


def version() -> str:
    """Return our version, as pyproject.toml says it."""
    return metadata.version("simbench-retrieval")
