"""What the operating system refuses of a path that a user gave is told in one line, and never as a fault of ours."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from programs import COMMAND, run_simbench

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


def told(words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[object, str]:
    """Run a command and return its exit code and what it wrote to stderr."""
    monkeypatch.setattr("sys.argv", ["simbench", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [["leaderboard", "--runs", ""], ["leaderboard", "--runs="], ["check", ""], ["search", "a.png", "--run", ""]],
    ids=" ".join,
)
def test_an_empty_word_is_refused_and_never_means_the_folder_we_are_in(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, line = told(words, monkeypatch, capsys)
    assert code == 2
    assert line.startswith("simbench: empty word at `")
    assert len(line.splitlines()) == 1


@pytest.mark.parametrize(
    "words",
    [
        ["check", "~nobody-of-this-name/x"],
        ["search", "a.png", "--run", "~nobody-of-this-name/x"],
        ["evaluate", "--query", "~nobody-of-this-name/x.npy", "--query-labels", "y.txt"],
    ],
    ids=lambda words: words[0],
)
def test_a_home_that_nobody_has_is_one_line(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, line = told(words, monkeypatch, capsys)
    assert code in (1, 2)
    assert "report it" not in line
    assert len(line.splitlines()) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_to_itself_in_place_of_a_folder_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for words in (["leaderboard", "--runs"], ["check"], ["search", "a.png", "--run"]):
        code, line = told([*words, str(tmp_path / "loop")], monkeypatch, capsys)
        assert code in (1, 2)
        assert "report it" not in line
        assert len(line.splitlines()) == 1


@pytest.fixture
def latin(tmp_path: Path) -> Path:
    """A folder of pictures whose own name, and one class's and picture's, are in Latin-1 bytes."""
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    for label in ("a", os.fsdecode(b"cl\xe4ss")):
        (folder / label).mkdir(parents=True)
        for at in range(12):
            picture = np.random.default_rng([at, len(label)]).integers(0, 256, (8, 8), np.uint8)
            Image.fromarray(picture).save(folder / label / f"{at}.png")
    (folder / "a" / "0.png").rename(folder / "a" / os.fsdecode(b"\xfcber.png"))
    return folder


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere file names are text")
def test_names_in_bytes_that_are_no_text_are_run_embedded_and_searched_and_shown_escaped(latin: Path) -> None:
    place, runs = latin.parent, os.fsdecode(b"r\xfcns")
    ran = run_simbench(["run", "-m", "pixels", "-d", str(latin), "--runs", runs, "-q"], place)
    assert (ran.returncode, ran.stderr) == (0, "")
    (folder,) = (path.parent for path in (place / runs).rglob("run.json"))
    assert "\\xfcns" in (place / runs / "report" / "runs.csv").read_text()  # of the command
    for words in (
        ["check", str(latin)],
        ["embed", str(folder), str(latin), "--out", os.fsdecode(b"v\xfc.safetensors")],
        ["report", "--runs", runs],
    ):
        ended = run_simbench(words, place)
        assert ended.returncode == 0, ended.stderr
    picture = str(latin / "a" / os.fsdecode(b"\xfcber.png"))
    found = run_simbench(["search", picture, "--run", str(folder), "--gallery", str(latin), "--json"], place)
    assert found.returncode == 0, found.stderr
    assert "\\\\xe4ss" in found.stdout
    assert json.loads(found.stdout)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
def test_output_to_a_full_disk_is_one_line_and_no_traceback(tmp_path: Path) -> None:
    full = "import os; os.dup2(os.open('/dev/full', os.O_WRONLY), 1); import bench.cli; bench.cli.main()"
    ended = run_simbench(["list"], tmp_path, code=full)
    assert ended.returncode == 1
    assert ended.stderr.splitlines() == ["simbench: No space left on device (--debug shows where)"]


UNPRIVILEGED = f"""import ctypes, os
if os.geteuid() == 0:  # root without its rights is refused what the modes refuse
    header, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert ctypes.CDLL(None).capset(header, none) == 0
{COMMAND}
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with finished runs of two methods on digits, and a cache."""
    place = tmp_path_factory.mktemp("finished")
    words = ["run", "-m", "pixels", "-m", "random", "--limit", "60", "--protocol", "loo", "-q"]
    ran = run_simbench(words, place, {"SIMBENCH_CACHE": str(place / "cache")})
    assert ran.returncode == 0, ran.stderr
    return place


@contextmanager
def refusing(place: Path, name: str, mode: int) -> Iterator[None]:
    """Set the mode of a path and, unless it is 0, of all below it, and set back what was."""
    (path,) = place.glob(name)
    before = {one: one.stat().st_mode for one in [path, *(path.rglob("*") if mode else ())]}
    try:
        for one in before:
            one.chmod(mode if one.is_dir() else mode & 0o666)
        yield
    finally:
        for one, was in before.items():
            one.chmod(was)


RUN = ["run", "-m", "pixels", "--limit", "60", "--protocol", "loo", "-q"]
SEED = "runs/digits/loo/pixels/*/seed0"
VECTORS = f"{SEED}/embeddings.safetensors"


@pytest.mark.skipif(sys.platform != "linux", reason="root's rights are dropped as Linux does")
@pytest.mark.parametrize(
    ("refused", "words", "said"),
    [
        (("runs", 0o555), ["leaderboard"], "cannot write runs/report/runs.csv: Permission denied"),
        (("runs", 0o555), RUN, "Permission denied"),
        (("runs", 0o555), [*RUN, "--seed", "1"], "Permission denied"),
        (("runs", 0o000), ["leaderboard"], "cannot read runs: Permission denied"),
        (("runs", 0o000), ["report", "--no-images"], "cannot read runs: Permission denied"),
        (("runs", 0o000), RUN, "Permission denied"),
        ((SEED, 0o000), RUN, "run.json: Permission denied"),
        ((SEED, 0o000), ["decode", "--run", "SEED"], "run.json: Permission denied"),
        ((VECTORS, 0o000), ["rerank", "SEED"], "embeddings.safetensors: Permission denied"),
        (("cache", 0o555), ["cache", "prune", "--all"], "cannot be removed (Permission denied)"),
        (("cache", 0o000), ["cache", "list"], "cache/decoded: Permission denied"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(map(str, value)),
)
def test_what_the_user_may_not_read_or_write_is_told_and_nothing_is_lost(
    refused: tuple[str, int], words: list[str], said: str, finished: Path
) -> None:
    (seed,) = finished.glob(SEED)
    before = {path: path.read_bytes() for path in (finished / "runs" / "digits").rglob("*") if path.is_file()}
    words = [str(seed.relative_to(finished)) if word == "SEED" else word for word in words]
    with refusing(finished, *refused):
        ended = run_simbench(words, finished, {"SIMBENCH_CACHE": str(finished / "cache")}, code=UNPRIVILEGED)
    lines = ended.stderr.splitlines()
    assert ended.returncode == 1
    assert said in lines[-1]
    assert all("Permission denied" in line for line in lines)
    assert len(lines) == 1 or words == RUN  # which also tells that the tables leave the run out
    assert all(path.read_bytes() == whole for path, whole in before.items())


@pytest.mark.skipif(sys.platform != "linux", reason="root's rights are dropped as Linux does")
def test_tables_name_a_folder_of_runs_that_they_could_not_read(finished: Path) -> None:
    with refusing(finished, "runs/digits/loo/pixels", 0o000):
        ended = run_simbench(["leaderboard"], finished, code=UNPRIVILEGED)
    assert ended.returncode == 0
    assert "left out: cannot read runs/digits/loo/pixels: Permission denied" in ended.stderr
    assert "| random" in ended.stdout
