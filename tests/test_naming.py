"""Names are comparable, and short enough for a file system."""

from __future__ import annotations

from bench.naming import shortened, slug, tidied


def test_names_are_compared_without_blanks_around_and_in_one_normal_form() -> None:
    assert {tidied(text) for text in ("caf\u00e9", "cafe\u0301 ", "\tcaf\u00e9\u00a0")} == {"caf\u00e9"}
    assert slug("caf\u00e9") == slug("cafe\u0301") == "caf\u00e9"


def test_long_names_are_cut_and_stay_apart() -> None:
    long = "\u4e2d\u6587" * 42  # 252 bytes: a folder may be called so, but not with an ending
    made = {slug(long), slug(f"{long[:-1]}a"), slug("x" * 255, "y" * 200)}
    assert len(made) == 3
    assert all(len(name.encode()) <= 100 for name in made)
    assert shortened("short") == "short"
    assert shortened("x" * 100) == "x" * 100
