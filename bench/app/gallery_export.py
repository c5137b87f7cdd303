"""Own pictures' vectors as files for anybody: a tensor, and a CSV file with a line for each of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import safetensors.numpy

from bench.app.gallery import OwnGallery
from bench.data.naming import readable
from bench.runs.store import RunRecord, write_bytes, write_rows

KEY = "vectors"


def write_gallery(out: Path, own: OwnGallery, record: RunRecord) -> Sequence[Path]:
    """Write a gallery's vectors, their ids and labels, and what could not be read; return the files written.

    ``out`` holds unit float32 ``vectors (n, d)``, and in its metadata which run made them. Beside it: ``.csv`` with id
    and label, as ``simbench evaluate`` reads them, in the rows' order; ``.unreadable.csv`` with id and reason, if there
    is any. ``out`` is written last, and any older one removed first: where it lies, it fits its list.
    """
    names, unread = out.with_suffix(".csv"), out.with_suffix(".unreadable.csv")
    for old in (out, unread):
        old.unlink(missing_ok=True)
    rows = zip(own.items.names, own.items.labels, strict=True)
    write_rows(names, [{"id": _line(name), "label": _line(label or own.root.name)} for name, label in rows])
    if own.broken:
        write_rows(unread, [{"id": _line(name), "reason": reason} for name, reason in own.broken])
    vectors = np.ascontiguousarray(own.items.vectors)
    write_bytes(out, safetensors.numpy.save({KEY: vectors}, metadata={"run": _run(record)}))
    return [out, names, *([unread] if own.broken else [])]


def _run(record: RunRecord) -> str:
    """Return which run made the vectors, as its folder under ``runs/`` is called."""
    told = record.content
    return "/".join([*(str(told[name]) for name in ("dataset", "protocol", "method", "key")), f"seed{told['seed']}"])


def _line(name: str) -> str:
    r"""Return a name as text of one line, whatever a reader takes for the end of one: such characters become ``\n``."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in readable(name))
