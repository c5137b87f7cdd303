"""How every figure looks, and how it becomes part of the page and a file: SVG whose colours follow the page's theme."""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from bench.evaluation.statistics.estimates import Estimate

# One colour a role, each used for nothing else: the page replaces it by its CSS variable, a file keeps it.
INK, MUTED, GRID = "#1f2329", "#5b6472", "#d5dae1"
ACCENT, WARM, CELL = "#2364aa", "#b5501b", "#4a86c5"
_VARIABLES = {INK: "--ink", MUTED: "--muted", GRID: "--line", ACCENT: "--accent", WARM: "--warm", CELL: "--cell"}
CLASS_COLOURS = (
    "#4e79a7", "#e08214", "#d1495b", "#499894", "#59a14f", "#b6992d", "#a0629a", "#e377a2", "#8c6d5a", "#808692",
)  # fmt: skip

_PHONE = 5.5  # inches; a figure of this width is shrunk to 60 % on a phone
_POINTS = "points"  # the name of the points that the page's script looks for

_STYLE: dict[Any, Any] = {  # its keys are those of matplotlib, which types each
    "svg.fonttype": "none",  # text stays text: small, selectable, in the page's own font
    "svg.hashsalt": "simbench",  # the same figure has the same bytes
    "text.parse_math": False,  # a class may be called $x$
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "legend.frameon": False,
    "legend.fontsize": 8.5,
}


@dataclass(frozen=True)
class Drawn:
    """A finished figure: its file's stem, what a screen reader says, the caption, and the three forms.

    png: drawn within ``with_bitmaps`` only, else empty: it takes as long as all the rest. wide: it cannot be read
    shrunk to the width of a phone; there it keeps its size and scrolls.
    """

    slug: str
    alt: str
    caption: str
    inline: Markup
    svg: bytes
    png: bytes
    wide: bool


_BITMAPS = ContextVar("bitmaps", default=False)


@contextmanager
def with_bitmaps(wanted: bool = True) -> Iterator[None]:
    """Let each figure that is drawn within have its PNG too, if that is wanted."""
    before = _BITMAPS.set(wanted)
    try:
        yield
    finally:
        _BITMAPS.reset(before)


@contextmanager
def style() -> Iterator[None]:
    """Draw in the page's style, and leave the user's own settings of matplotlib out of it."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def finish(figure: Figure, slug: str, *, alt: str, caption: str) -> Drawn:
    """Return a figure in its three forms: SVG for the page, SVG and PNG as files. To be called within ``style``."""
    vector, bitmap = io.BytesIO(), io.BytesIO()
    wide = bool(figure.get_figwidth() > _PHONE)
    figure.savefig(vector, format="svg", bbox_inches="tight", pad_inches=0.04, metadata={"Date": None})
    if _BITMAPS.get():
        figure.savefig(bitmap, format="png", bbox_inches="tight", pad_inches=0.04, dpi=144, facecolor="white")
    text = _lighter(vector.getvalue().decode())
    inline = _inline(text, slug, alt)
    return Drawn(slug, alt, caption, inline, _on_white(text).encode(), bitmap.getvalue(), wide)


def bare(axes: Axes) -> None:
    """Take an axes' grid, ticks and lines away."""
    axes.grid(visible=False)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def log_ticks(axes: Axes, steps: Sequence[int]) -> None:
    """Label these times the powers of ten on a logarithmic axis as plain numbers, and nothing between."""
    axes.xaxis.set_major_locator(LogLocator(10, subs=steps))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.10g}"))
    axes.xaxis.set_minor_locator(NullLocator())


def _lighter(svg: str) -> str:
    """Return an SVG without what nobody needs: names of groups, metadata, digits below a hundredth of a point."""
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<[^>]+>", lambda tag: re.sub(r"(?<=\d)(\.\d{2})\d+", r"\1", tag[0]), svg)
    used = {*re.findall(r"#([\w-]+)", svg), _POINTS}
    svg = re.sub(r' id="([\w-]+)"', lambda found: found[0] if found[1] in used else "", svg)
    svg = re.sub(r"\s*transform=\"rotate\(-?0 [^\"]*\"", "", svg)
    svg = re.sub(r">\s+<", "><", svg)
    svg = re.sub(r"<g>(<text[^>]*>[^<]*</text>|<path[^>]*/>)</g>", r"\1", svg)
    return svg.replace("xlink:href", "href").replace("'DejaVu Sans'", "sans-serif")


def _inline(svg: str, slug: str, alt: str) -> Markup:
    """Return an SVG for use within HTML: own names for its parts, colours of the page, text for those who hear it."""
    opening, rest = svg[svg.index("<svg") :].split(">", 1)
    box = re.search(r'viewBox="([^"]+)"', opening)
    view = box[1] if box else "0 0 100 100"
    rest = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>f{zlib.crc32(slug.encode()):x}-", rest)
    rest = rest.replace("font-family: sans-serif; ", "")
    for colour, variable in _VARIABLES.items():
        rest = rest.replace(colour, f"var({variable})")
    start = Markup('<svg role="img" aria-label="{}" viewBox="{}" style="width:{}pt">').format(
        alt, view, view.split()[2]
    )
    return start + Markup(rest)  # noqa: S704 - our own drawing, in which matplotlib has escaped all names


def _on_white(svg: str) -> str:
    """Return an SVG with a white ground, so that a file can be read in a dark viewer."""
    head, rest = svg.split("<defs", 1)
    return f'{head}<rect width="100%" height="100%" fill="white"/><defs{rest}'


_MARKERS = "os^Dv"


def draw_band(
    axes: Axes, x: Sequence[float], scores: Sequence[Estimate], number: int, label: str, *, mark: float
) -> None:
    """Draw one line. number: which of the figure's lines it is, for colour and marker; mark: the markers' size."""
    colour = CLASS_COLOURS[number % len(CLASS_COLOURS)]
    axes.plot(x, [s.mean for s in scores], color=colour, marker=_MARKERS[number % 5], markersize=mark, label=label)
    axes.fill_between(x, [s.low for s in scores], [s.high for s in scores], color=colour, alpha=0.1, lw=0)
