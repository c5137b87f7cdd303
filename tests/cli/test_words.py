"""Bad input gets one clear line and the right exit code; good input gets results on stdout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.runs.store import all_runs

pytestmark = pytest.mark.slow

USAGE, FAILURE = 2, 1


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["run", "-m", "arcfase"], "unknown method 'arcfase'; did you mean 'arcface'?"),
        (["run", "-d", "digit"], "unknown data set 'digit'; did you mean 'digits'?"),
        (["run", "-d", "/nowhere/at/all"], "no such file or folder"),
        (["run", "-o", "margni=1"], "did you mean 'margin'?"),
        (["run", "-o", "margin=wide"], "expected a number, got 'wide'"),
        (["run", "-o", "margin=9"], "margin must be in [0, pi/2) radians"),
        (["run", "--set", "run.protocl=loo"], "did you mean 'protocol'?"),
        (["run", "--protocol", "lo"], "did you mean 'loo'?"),
        (["run", "--protocol", "given"], "given needs a query and a gallery part"),
        (["run", "--seeds", "a"], "expected whole numbers such as 0,1,2"),
        (["run", "--budget", "soon"], "expected a duration"),
        (["run", "--epochs", "0"], "epochs must be above 0"),
        (["run", "--epochs", "3", "--budget", "5m"], "not both"),
        (["run", "--device", "gpu"], "unknown device 'gpu'"),
        (["run", "--ties", "meen"], "option ties: expected one of"),
        (["run", "-k", "0"], "ks must be whole numbers from 1"),
        (["run", "--config", "none.toml"], "cannot read the configuration none.toml"),
        (["run", "--bogus"], "No such option"),
        (["run", "--classes", "1,x"], "digits has no class 'x'"),
        (["run", "--classes", "11"], "digits has 10; give 2 to 10"),
        (["run", "--per-class", "0"], "per_class must be 1 or more"),
        (["run", "--split-seed", "-1"], "split_seed must be 0 or more"),
        (["run", "--strict", "--skip-broken"], "not both"),
        (["check", "digits", "--strict", "--skip-broken"], "not both"),
        (["fetch", "digit"], "did you mean 'digits'?"),
        (["check", "arcfase"], "did you mean 'arcface'?"),
        (["nonsense"], "No such command"),
    ],
)
def test_a_mistake_in_the_words_is_told_in_one_line_with_exit_code_2(
    simbench: Callable[..., Any], words: list[str], complaint: str
) -> None:
    outcome = simbench(*words)
    expected = FAILURE if "needs a query" in complaint else USAGE
    assert outcome.code == expected, outcome.err
    told = [line for line in outcome.err.splitlines() if complaint in line]
    assert len(told) == 1, outcome.err
    assert "Traceback" not in outcome.err


def test_all_mistakes_of_a_configuration_are_told_at_once(simbench: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "bench.toml").write_text("[run]\nprotocl = 'loo'\n[methods.arcface]\nmargni = 1\n", encoding="utf-8")
    outcome = simbench("run", "-m", "pixels")
    assert outcome.code == USAGE
    assert len(outcome.err.splitlines()) == 2


def test_fetch_reads_the_configuration(simbench: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "bench.toml").write_text("[datasets.fashionmnist]\nnonsense = 1\n", encoding="utf-8")
    outcome = simbench("fetch", "fashionmnist")
    assert (outcome.code, "nonsense" in outcome.err) == (USAGE, True)


def test_a_run_prints_its_table_and_writes_every_file(simbench: Callable[..., Any], tmp_path: Path) -> None:
    outcome = simbench("run", "-m", "pixels", "-m", "random", "--limit", "200", "-q")
    assert outcome.code == 0, outcome.err
    assert "## digits · holdout" in outcome.out
    assert "| pixels" in outcome.out
    (pixels,) = (run for run in all_runs(tmp_path / "runs") if run.result.method == "pixels")
    assert {"run.json", "per_query.npz", "embeddings.safetensors", "weights.safetensors", "latency.npz"} <= {
        path.name for path in pixels.folder.iterdir()
    }
    frame = pd.read_csv(tmp_path / "runs" / "report" / "runs.csv")
    assert list(frame.columns[:5]) == ["dataset", "protocol", "method", "seed", "status"]
    assert frame.set_index("method").loc["pixels", "map@10"] == pytest.approx(pixels.result.scores["map@10"])
    assert not (tmp_path / "results").exists()
    assert "simbench leaderboard" in (tmp_path / "runs" / "report" / "leaderboard.md").read_text(encoding="utf-8")


def test_a_finished_run_is_not_repeated_unless_forced(simbench: Callable[..., Any], tmp_path: Path) -> None:
    def written() -> int:
        return next((tmp_path / "runs").rglob("run.json")).stat().st_mtime_ns

    words = ("run", "-m", "pixels", "--limit", "100")
    assert simbench(*words).code == 0
    first = written()
    assert simbench(*words).code == 0
    assert written() == first
    assert "done" in simbench(*words, "--dry-run").out
    assert simbench(*words, "--force").code == 0
    assert written() > first


def test_json_goes_to_stdout_alone(simbench: Callable[..., Any]) -> None:
    outcome = simbench("run", "-m", "pixels", "--json")
    (run,) = json.loads(outcome.out)
    assert run["status"] == "done"
    assert run["scores"]["map"] > 0.5


def test_a_dry_run_writes_nothing(simbench: Callable[..., Any], tmp_path: Path) -> None:
    outcome = simbench("run", "-m", "*", "--seeds", "0,1", "--dry-run")
    assert outcome.code == 0
    assert len(outcome.out.splitlines()) % 2 == 0
    assert not (tmp_path / "runs").exists()


def test_own_pictures_run_with_one_word(simbench: Callable[..., Any], pictures: Path) -> None:
    outcome = simbench("run", "-m", "pixels", "-d", str(pictures))
    assert outcome.code == 0, outcome.err
    assert "## pictures · holdout" in outcome.out


def test_a_check_of_own_pictures_counts_them_and_names_the_protocols(
    simbench: Callable[..., Any], pictures: Path
) -> None:
    outcome = simbench("check", str(pictures))
    assert outcome.code == 0, outcome.err
    assert "2 classes, images 12x12x1" in outcome.out
    assert "protocol holdout     possible" in outcome.out


def test_a_check_tells_leaks_and_a_run_records_them_until_they_are_dropped(
    simbench: Callable[..., Any], pictures: Path, tmp_path: Path
) -> None:
    for name in ("dark", "light"):
        for number in range(5):
            (pictures / name / f"copy{number}.png").write_bytes((pictures / name / f"{number}.png").read_bytes())
    told = simbench("check", str(pictures))
    assert told.code == 0, told.err
    assert "LEAK: " in told.out
    (found,) = json.loads(simbench("check", str(pictures), "--json").out)
    assert sum(leak["exact"] for leak in found["audit"]["leaks"]) > 0
    assert "holdout" in found["protocols"]
    assert simbench("run", "-m", "pixels", "-d", str(pictures), "-q").code == 0
    dropped = simbench("run", "-m", "pixels", "-d", str(pictures), "--drop-leaks", "-q")
    assert dropped.code == 0, dropped.err
    assert "**Leak**" not in dropped.out
    audits = [(bool(run.result.spec.data), run.result.audit) for run in all_runs(tmp_path / "runs")]
    leaks = {chosen: audit.leaks for chosen, audit in audits if audit is not None}
    assert leaks[False]
    assert leaks[True] == ()
    text = (tmp_path / "runs" / "report" / "leaderboard.md").read_text(encoding="utf-8")
    assert "## pictures · holdout · drop leaks" in text
    assert text.count("**Leak**") == 1


def test_a_part_of_the_data_runs_under_its_own_title(simbench: Callable[..., Any], tmp_path: Path) -> None:
    words = ("--classes", "6", "--per-class", "20", "--balance", "--split-seed", "1", "--protocol", "unseen")
    outcome = simbench("run", "-m", "pixels", *words)
    assert outcome.code == 0, outcome.err
    assert "## digits · unseen · balance · classes 6 · per class 20 · split seed 1" in outcome.out
    (run,) = all_runs(tmp_path / "runs")
    assert run.result.spec.data == {"balance": True, "classes": ["6"], "per_class": 20, "split_seed": 1}
    assert len(run.result.data.learnt_classes or ()) == 3
    data = run.result.data
    assert (data.seen_classes, data.gallery_is_train, data.query_in_gallery) == (False, False, False)
    assert run.result.spec.resize is None
    assert run.result.baseline == "floor"
    counts = data.counts
    assert counts["train"] + counts["validation"] == 60
    assert len(run.result.data.notes) == 4


def test_broken_pictures_are_refused_or_left_out_as_asked(simbench: Callable[..., Any], pictures: Path) -> None:
    for number in range(3):
        (pictures / "dark" / f"letter{number}.jpg").write_text("not a picture", encoding="utf-8")
    for command in (("run", "-m", "pixels", "-d"), ("check",)):
        assert simbench(*command, str(pictures), "--strict").code == FAILURE
        outcome = simbench(*command, str(pictures), "--skip-broken")
        assert outcome.code == 0, outcome.err


def test_a_text_file_named_jpg_fails_with_its_name(simbench: Callable[..., Any], pictures: Path) -> None:
    (pictures / "dark" / "letter.jpg").write_text("not a picture", encoding="utf-8")
    outcome = simbench("run", "-m", "pixels", "-d", str(pictures))
    assert outcome.code == FAILURE
    assert "letter.jpg" in outcome.err
    assert len(outcome.err.splitlines()) == 1


def test_an_empty_class_fails_with_its_name(simbench: Callable[..., Any], pictures: Path) -> None:
    (pictures / "empty").mkdir()
    outcome = simbench("run", "-m", "pixels", "-d", str(pictures))
    assert outcome.code == FAILURE
    assert "empty" in outcome.err


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("path,split\na.png,train\n", "label"), ("path,label,split\nmissing.png,a,train\n", "missing.png")],
)
def test_a_manifest_with_a_missing_column_or_file_is_told(
    simbench: Callable[..., Any], tmp_path: Path, text: str, complaint: str
) -> None:
    (tmp_path / "list.csv").write_text(text, encoding="utf-8")
    outcome = simbench("run", "-m", "pixels", "-d", "list.csv")
    assert outcome.code in (USAGE, FAILURE)
    assert complaint in outcome.err
    assert len(outcome.err.splitlines()) == 1


def test_a_results_folder_that_cannot_be_written_is_told_before_anything_runs(
    simbench: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("a file, not a folder", encoding="utf-8")
    for option in ("--report-dir", "--runs"):
        outcome = simbench("run", "-m", "pixels", option, "taken/inner")
        assert outcome.code == FAILURE
        assert "taken/inner" in outcome.err
        assert len(outcome.err.splitlines()) == 1
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").rglob("run.json"))


def test_a_method_that_fails_is_a_row_with_its_reason_and_exit_code_1(
    simbench: Callable[..., Any], tmp_path: Path
) -> None:
    outcome = simbench("run", "-m", "arcface", "-m", "pixels", "--phases", "2", "--limit", "100", "-q")  # no encoder
    assert outcome.code == FAILURE
    board = (tmp_path / "runs" / "report" / "leaderboard.md").read_text(encoding="utf-8")
    assert "`arcface` seed 0: failed: " in board
    assert "| pixels" in outcome.out


def test_help_and_list_answer_at_once(program: Callable[..., Any]) -> None:
    assert "Which image-retrieval method" in program("--help").out
    listed = program("list")
    assert listed.code == 0
    assert "arcface" in listed.out
    assert "digits" in listed.out


def test_environment_variables_are_options(program: Callable[..., Any]) -> None:
    outcome = program(
        "run", "--dry-run", SIMBENCH_METHOD="pixels random", SIMBENCH_SEEDS="0,1", SIMBENCH_RUNS="elsewhere"
    )
    assert outcome.code == 0, outcome.err
    assert len(outcome.out.splitlines()) == 4
    assert "elsewhere/digits/holdout/pixels/" in outcome.out


@pytest.fixture
def lone_queries(tmp_path: Path, pictures: Path) -> Path:
    """A manifest in which 9 queries of a class have nothing in the gallery, and 3 of another have."""
    rows = ["path,label,split,is_query,is_gallery"]
    for label, name, numbers, part in (
        ("day", "light", range(8), "train,,"),
        ("day", "light", range(8, 11), "test,1,0"),
        ("day", "light", range(11, 20), "test,0,1"),
        ("night", "dark", range(8), "train,,"),
        ("night", "dark", range(8, 17), "test,1,0"),
        ("dusk", "dark", range(17, 19), "train,,"),
        ("dusk", "dark", range(19, 20), "test,0,1"),
    ):
        rows += [f"pictures/{name}/{number}.png,{label},{part}" for number in numbers]
    path = tmp_path / "lone.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_check_and_every_table_say_how_many_queries_are_scored(
    simbench: Callable[..., Any], lone_queries: Path, tmp_path: Path
) -> None:
    told = "ALARM: only 3 of 12 queries scored: 9 have nothing to find in the gallery"
    assert told in simbench("check", str(lone_queries)).out
    (found,) = json.loads(simbench("check", str(lone_queries), "--json").out)
    assert (found["audit"]["scored"], found["audit"]["queries"]) == (3, 12)
    outcome = simbench("run", "-m", "pixels", "-d", str(lone_queries), "-q")
    assert outcome.code == 0, outcome.err
    assert "ALARM: only 3 of 12 queries scored" in outcome.out
    (run,) = all_runs(tmp_path / "runs")
    assert "control failed: nothing_to_find 0.75 (limit 0.5)" in run.result.flags
    assert run.result.queries == (3, 12)
    assert simbench("leaderboard", "--latex").code == 0
    tables = tmp_path / "runs" / "report"
    for name in ("leaderboard.md", "leaderboard.tex", "answers.md"):
        assert told in (tables / name).read_text(encoding="utf-8"), name
    (table,) = json.loads((tables / "leaderboard.json").read_text(encoding="utf-8"))["tables"]
    assert (table["queries_scored"], table["queries"]) == (3, 12)
    for name in ("leaderboard.csv", "runs.csv"):
        (row,) = pd.read_csv(tables / name).to_dict("records")
        assert (row["queries_scored"], row["queries"]) == (3, 12)
    assert simbench("report", "--no-images", "-q").code == 0
    assert told in (tables / "report.html").read_text(encoding="utf-8")


def test_a_reader_that_has_seen_enough_is_no_error_to_tell(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    words = [sys.executable, "-P", "-c", "import bench.cli; bench.cli.main()", "list", "-v"]
    done = subprocess.run(words, cwd=tmp_path, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")
