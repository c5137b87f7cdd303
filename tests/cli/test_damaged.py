"""Nothing published is lost by a slip, and no command uses a number of a damaged or exchanged file."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_runs import fake_result, fake_spec, write_fake
from PIL import Image

USAGE, FAILURE = 2, 1


def files_in(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("words", [["leaderboard"], ["leaderboard", "--publish", "mine", "--force"], ["report"]])
def test_a_folder_without_runs_leaves_every_table_as_it_is(
    simbench: Callable[..., Any], tmp_path: Path, words: list[str]
) -> None:
    write_fake(Path("runs"), fake_result(fake_spec()))
    assert simbench("leaderboard", "--publish", "mine").code == 0
    assert simbench("leaderboard").code == 0
    before = files_in(tmp_path)
    Path("empty").mkdir()
    for folder in ("typo", "empty"):
        done = simbench(*words, "--runs", folder, *([] if "--publish" in words else ["--report-dir", "runs/report"]))
        assert done.code == USAGE
        assert done.err.startswith(f"simbench: no runs in {folder}")
        assert len(done.err.splitlines()) == 1
    assert files_in(tmp_path) == before


def test_a_damaged_run_is_named_and_the_others_stand(simbench: Callable[..., Any]) -> None:
    for method in ("pixels", "pca"):
        folder = write_fake(Path("runs"), fake_result(fake_spec(method=method)))
    path = folder / "run.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"map": 0.5', '"map": 0.6'), encoding="utf-8")
    for words in (["leaderboard"], ["leaderboard", "--publish", "mine"], ["report", "--no-images"]):
        done = simbench(*words)
        assert done.code == 0, done.err
        assert f"left out: cannot read {path}: it is damaged" in done.err
    for table in ("runs/report/runs.csv", "results/mine/runs.csv"):
        text = Path(table).read_text(encoding="utf-8")
        assert "pixels" in text
        assert "pca" not in text


def test_a_run_by_its_folder_ends_with_the_damaged_files_name(simbench: Callable[..., Any]) -> None:
    words = ("run", "-m", "pixels", "-m", "pca", "-d", "digits", "--protocol", "loo", "--limit", "60", "-q")
    assert simbench(*words).code == 0
    Image.new("L", (8, 8)).save("x.png")
    (one,), (other,) = (list(Path("runs").glob(f"digits/loo/{method}/*/seed0")) for method in ("pixels", "pca"))
    for command, name in (
        (("rerank", str(one), "-s", "aqe"), "embeddings.safetensors"),
        (("index", str(one), "--only", "flat"), "embeddings.safetensors"),
        (("search", "x.png", "--run", str(other)), "weights.safetensors"),
        (("compare", "pixels", "pca"), "per_query.npz"),
        (("robustness", str(other)), "weights.safetensors"),
    ):
        whole = {path: (path / name).read_bytes() for path in (one, other) if (path / name).exists()}
        if len(whole) == 2 and name == "embeddings.safetensors":  # exchanged: each whole, of the other run
            shutil.copy(other / name, one / name)
        else:
            for path, content in whole.items():
                (path / name).write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
        done = simbench(*command)
        assert done.code == FAILURE, (command, done.err)
        assert f"{name}: it is damaged" in done.err, (command, done.err)
        assert "Traceback" not in done.err
        for path, content in whole.items():
            (path / name).write_bytes(content)


def test_run_names_a_damaged_result_leaves_it_and_completes_the_others(simbench: Callable[..., Any]) -> None:
    words = ("run", "-m", "pixels", "-m", "random", "-d", "digits", "--protocol", "loo", "--limit", "60", "-q")
    assert simbench(*words[:3], *words[5:]).code == 0
    (path,) = Path("runs").glob("digits/loo/pixels/*/seed0/run.json")
    path.write_text(path.read_text(encoding="utf-8").replace('"seed": 0', '"seed": 1'), encoding="utf-8")
    before = path.read_bytes()
    done = simbench(*words)
    assert done.code == FAILURE
    assert f"pixels failed: cannot read {path}: it is damaged" in done.err
    assert path.read_bytes() == before
    assert list(Path("runs").glob("digits/loo/random/*/seed0/run.json"))
    assert "damaged" in simbench(*words, "--dry-run").out
