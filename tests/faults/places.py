"""Places where nothing can be read or written, and commands that are pointed at them."""

from __future__ import annotations

import shutil
from itertools import product
from pathlib import Path

from programs import run_simbench

_LONG = "n" * 300
_MAKERS = ("file in its place", "file as its parent", "name too long", "loop of links", "dash", "nothing", "odd bytes")
_COMMANDS = {
    "run --runs": ("run", "-m", "pixels", "-d", "digits", "--limit", "100", "-q", "--runs", "PLACE"),
    "run -d": ("run", "-m", "pixels", "-q", "--runs", "fresh", "-d", "PLACE"),
    "run cache": ("run", "-m", "pixels", "-d", "pictures", "--limit", "30", "-q", "--runs", "fresh"),
    "leaderboard --runs": ("leaderboard", "--runs", "PLACE"),
    "leaderboard --report-dir": ("leaderboard", "--report-dir", "PLACE"),
    "report --runs": ("report", "-q", "--runs", "PLACE"),
    "search --run": ("search", "pictures/3/3.png", "-q", "--run", "PLACE"),
    "search query": ("search", "PLACE", "-q", "--run", "runs/digits/loo/pixels"),
    "check": ("check", "PLACE"),
}
PLACES = list(product(_COMMANDS, _MAKERS))


def in_place(tree: Path, command: str, maker: str) -> tuple[str, str, str]:
    """Point a command at a place: it must say in a line what is wrong and end with 1 or 2, or work."""
    odd = tree / "odd"
    shutil.rmtree(odd, ignore_errors=True)
    odd.mkdir()
    place = {
        "file in its place": odd / "file", "file as its parent": odd / "file" / "inner", "name too long": odd / _LONG,
        "loop of links": odd / "loop", "dash": Path("-"), "nothing": Path(), "odd bytes": odd / "l\udce4tin",
    }[maker]  # fmt: skip
    (odd / "file").write_text("a file", encoding="utf-8")
    (odd / "loop").symlink_to(odd / "loop")
    text = "" if maker == "nothing" else str(place)
    words = [text if word == "PLACE" else word for word in _COMMANDS[command]]
    if "PLACE" not in _COMMANDS[command]:
        words, cache = list(_COMMANDS[command]), text
    else:
        cache = str(tree / "cache")
    done = run_simbench(words, tree, {"SIMBENCH_CACHE": cache, "OMP_NUM_THREADS": "1"})
    for name in ("odd", "fresh", "-", "runs/report", "digits"):
        shutil.rmtree(tree / name, ignore_errors=True)
    said = f"{command} at {maker}: exit code {done.returncode}: {done.stderr.strip()[-300:]}"
    if "Traceback" in done.stderr or "please report" in done.stderr or done.returncode not in (0, 1, 2):
        return command, "crashed", said
    if done.returncode and not done.stderr.strip():
        return command, "another answer, silently", said
    return command, "left out or refused by name" if done.returncode else "same answer", said
