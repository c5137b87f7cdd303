"""The folded parts of the page, packed: gzip in base64, a tenth of their size. The page's script unpacks them.

A suite has dozens of rows, each with its figures, pairs and neighbours; unpacked, they would make a page of many
megabytes, of which a reader opens a few. In a template, ``<!--fold-->`` and ``<!--/fold-->`` stand around such a part:
no other text can hold these marks, since all text is escaped.
"""

from __future__ import annotations

import base64
import gzip
import json
import re

_PART = re.compile(r"<!--fold-->(.*?)<!--/fold-->", re.DOTALL)
_PLACE = '<div data-folded="{}"><p class="note">This part is packed; a browser with scripts unpacks it.</p></div>'
_STORE = "<!--folded-->"


def fold(page: str) -> str:
    """Return the page with all marked parts packed where ``<!--folded-->`` stands."""
    parts: list[str] = []

    def pack(found: re.Match[str]) -> str:
        parts.append(found[1])
        return _PLACE.format(len(parts) - 1)

    short = _PART.sub(pack, page)
    packed = base64.b64encode(gzip.compress(json.dumps(parts).encode(), 9, mtime=0)).decode()
    return short.replace(_STORE, f'<script type="text/plain" id="folded">{packed}</script>')
