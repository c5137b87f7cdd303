"""Where things lie that are nobody's results: the cache."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cache_folder() -> Path:
    """Return our folder in the user's cache directory (``SIMBENCH_CACHE``, else the system's own place)."""
    if os.environ.get("SIMBENCH_CACHE"):
        return Path(os.environ["SIMBENCH_CACHE"]).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData/Local")) / "simbench"
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/simbench"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "simbench"
