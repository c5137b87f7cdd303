"""What the operating system refuses of a path that a user gave is told in one line, and never as a fault of ours."""

from __future__ import annotations

import pytest

from bench.cli import main

LONG = "x" * 5000


@pytest.mark.parametrize(
    "words",
    [
        ["check", LONG],
        ["run", "-m", "pixels", "-d", f"/{LONG}"],
        ["evaluate", "--query", LONG, "--query-labels", "y.txt"],
        ["leaderboard", "--runs", LONG],
        ["search", LONG, "--run", "."],
    ],
    ids=lambda words: words[0],
)
def test_a_name_of_thousands_of_letters_is_one_line(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["simbench", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr().err
    assert ended.value.code == 1
    assert "File name too long" in told
    assert "report it" not in told
    assert len(told.splitlines()) == 1
    assert len(told) < 400
