"""Tables are made from run folders alone, never mix two protocols, and hide no failure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fake_runs import DATA, MADE_BY, fake_result, fake_spec, write_beside, write_fake
from PIL import Image

from bench.contract import Audit, Baseline, Budget, Overlap
from bench.report.figures.picture_grid import write_reconstructions
from bench.report.tables.frame import runs_frame, without_folders
from bench.report.tables.groups import tables_of
from bench.report.tables.leaderboard import tables
from bench.report.tables.wording import difference_in_words
from bench.report.write import board_of, write_board
from bench.runs.store import all_runs

USUAL = {"center": False}


def record(
    root: Path,
    method: str = "pixels",
    seed: int = 0,
    *,
    dataset: str = "digits",
    protocol: str = "loo",
    spec: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Path:
    """Write a run folder such as `simbench run` leaves."""
    made = fake_spec(**{"dataset": dataset, "protocol": protocol, "method": method, **(spec or {"options": USUAL})})
    done: dict[str, Any] = {
        "scores": {"map": 0.5, "map@10": 0.6, "hit@1": 0.7, "mean_rank_norm": 0.2},
        "macro": {"map": 0.4},
        "ci95": {"map": (0.45, 0.56), "map@10": (0.5, 0.7), "hit@1": (0.6, 0.8)},
        "timings": {"fit_seconds": 1.5},
        "latency": {"embed_1_median_ms": 0.12},
        "provenance": replace(MADE_BY, threads=2),
    }
    found = changes if "reason" in changes else {**done, **changes}
    return write_fake(root, fake_result(made, **{"seed": seed, **found}))


def text_of(root: Path) -> str:
    return tables(runs_frame(all_runs(root)))


def test_methods_stand_in_order_of_falling_map_with_half_their_interval(tmp_path: Path) -> None:
    record(tmp_path, "worse", scores={"map": 0.3, "map@10": 0.3, "hit@1": 0.3})
    record(tmp_path, "better")
    text = text_of(tmp_path)
    assert text.index("better") < text.index("worse")
    assert "0.500 ± 0.055" in text


def test_several_seeds_are_their_mean_and_standard_deviation(tmp_path: Path) -> None:
    for seed, value in enumerate((0.4, 0.5, 0.6)):
        record(tmp_path, seed=seed, scores={"map": value, "map@10": value, "hit@1": value})
    row = next(line for line in text_of(tmp_path).splitlines() if "pixels" in line)
    assert "0.500 ± 0.100 sd" in row
    assert "|       3 |" in row


def test_a_table_never_mixes_data_sets_protocols_or_revisions_of_data(tmp_path: Path) -> None:
    record(tmp_path)
    record(tmp_path, protocol="holdout")
    record(tmp_path, dataset="other")
    spec = {"fingerprint": "e" * 64}
    record(tmp_path, spec=spec)
    assert text_of(tmp_path).count("## ") == 4


def test_two_settings_of_a_method_are_told_apart_by_what_differs(tmp_path: Path) -> None:
    record(tmp_path)
    spec = {"fingerprint": "f" * 64, "options": {"center": True}}
    record(tmp_path, spec=spec)
    text = text_of(tmp_path)
    assert "pixels (center=True)" in text
    assert "pixels (center=False)" in text


LEAK = Overlap("query", "train", images=2000, exact=10, near=2, mirrored=0)


def test_a_leak_is_a_footnote_and_a_column(tmp_path: Path) -> None:
    record(tmp_path / "runs", audit=Audit(9, 9, (LEAK,), (), 0, (), ()))
    record(tmp_path / "runs", "clean", dataset="other", audit=Audit(9, 9, (), (), 0, (), ()))
    record(tmp_path / "runs", "older", dataset="third")
    write_board(board_of(tmp_path / "runs"), tmp_path / "results")
    text = (tmp_path / "results" / "leaderboard.md").read_text(encoding="utf-8")
    assert text.count("**Leak**") == 1
    assert "**Leak**: 12 of 2,000 query images have a copy in train (10 exact, 2 near). `--drop-leaks`" in text
    frame = pd.read_csv(tmp_path / "results" / "runs.csv").set_index("method")
    assert frame["leaked_queries"].fillna(-1).to_dict() == {"pixels": 12, "clean": 0, "older": -1}
    assert frame["leaked_gallery"].fillna(-1).to_dict() == {"pixels": 0, "clean": 0, "older": -1}


def test_a_table_says_what_was_chosen_of_the_data(tmp_path: Path) -> None:
    record(tmp_path)
    spec = {"fingerprint": "e" * 64, "data": {"per_class": 10, "drop_leaks": True}}
    record(tmp_path, spec=spec)
    text = text_of(tmp_path)
    assert "## digits · loo · data ffffffff" in text
    assert "## digits · loo · drop leaks · per class 10 · data eeeeeeee" in text


def test_a_choice_that_left_nothing_out_does_not_name_the_table(tmp_path: Path) -> None:
    record(tmp_path)
    spec = {"fingerprint": "f" * 64, "data": {"limit": 2000}}
    record(tmp_path, "pca", spec=spec)
    text = text_of(tmp_path)
    assert "## digits · loo\n" in text
    assert "limit 2000" not in text.split("|")[0]


def test_seen_classes_footnote_stands_only_where_classes_are_seen(tmp_path: Path) -> None:
    classifier = Baseline.CLASSIFIER
    record(tmp_path, "softmax", baseline=classifier)
    record(tmp_path, "softmax", baseline=classifier, data=replace(DATA, seen_classes=False), protocol="unseen")
    maybe_new = replace(DATA, seen_classes=None)  # the data's own queries may be of new classes
    record(tmp_path, "softmax", baseline=classifier, data=maybe_new, protocol="given")
    record(tmp_path, "softmax", baseline=classifier, dataset="more", reason="no memory")
    record(tmp_path, "triplet", dataset="other")
    text = text_of(tmp_path)
    assert text.count("**Seen classes**") == 1
    assert text.index("digits · loo") < text.index("**Seen classes**") < text.index("digits · unseen")


def test_what_a_run_does_otherwise_than_all_do_stands_in_its_notes(tmp_path: Path) -> None:
    record(tmp_path, "triplet", deviations={"encoder": "simplecnn", "epochs": 3.0}, flags=("collapsed",))
    assert "collapsed; encoder simplecnn; epochs 3" in text_of(tmp_path)


def test_what_all_rows_have_in_common_is_said_once_under_the_table(tmp_path: Path) -> None:
    spec = {"fingerprint": "f" * 64, "budget": Budget(epochs=2.0)}
    record(tmp_path, "triplet", spec=spec, deviations={"encoder": "simplecnn", "epochs": 2.0})
    record(tmp_path, "pixels", spec=spec)
    text = text_of(tmp_path)
    assert text.count("epochs 2") == 1
    assert "**Every row**: epochs 2." in text
    assert "encoder simplecnn |" in text


def test_decoding_is_shown_with_its_baseline_and_with_how_the_images_look(tmp_path: Path) -> None:
    decoding = {"decode_cosine": 0.97, "decode_cosine_shuffled": 0.1, "pixel_mse": 0.0123, "psnr": 19.1, "ssim": 0.7}
    record(tmp_path, "arcface", scores={"map": 0.5, "map@10": 0.5, "hit@1": 0.5, **decoding})
    for heading in ("decode_cosine", "shuffled", "mse", "psnr dB", "ssim"):
        assert f" {heading}" in text_of(tmp_path).splitlines()[2]
    assert "0.0123" in text_of(tmp_path)


def test_a_failed_run_is_shown_with_its_reason_and_a_flag_beside_its_row(tmp_path: Path) -> None:
    record(tmp_path, "good", flags=("collapsed",))
    record(tmp_path, "bad", reason="out of memory: 3 GB")
    text = text_of(tmp_path)
    assert "- `bad` seed 0: failed: out of memory: 3 GB" in text
    assert "collapsed" in text


def test_a_table_says_when_where_and_from_which_commit_it_was_made(tmp_path: Path) -> None:
    record(tmp_path)
    assert "Made 2026-01-02 on A CPU, 2 threads; commit aaaaaaaaaa; data ffffffffffff." in text_of(tmp_path)


def test_the_flat_table_begins_with_who_it_is_and_holds_every_score_under_its_name(tmp_path: Path) -> None:
    record(tmp_path / "runs")
    write_board(board_of(tmp_path / "runs"), tmp_path / "results")
    frame = pd.read_csv(tmp_path / "results" / "runs.csv")
    assert list(frame.columns[:9]) == [
        "dataset",
        "protocol",
        "method",
        "seed",
        "status",
        "map",
        "map@10",
        "hit@1",
        "mean_rank_norm",
    ]
    assert frame["map_ci95_low"].item() == 0.45
    assert frame["map_macro"].item() == 0.4
    assert json.loads(frame["options"].item()) == {"center": False}


def test_the_commands_of_published_tables_name_no_private_folder(tmp_path: Path) -> None:
    command = "simbench run -d /home/me/secret/pictures --runs=/data/x/runs -o weights=a/b.pt"
    spec = {"options": {"weights": "/home/me/two words/w.pt", "dim": 8}}
    record(tmp_path / "runs", spec=spec, provenance=replace(MADE_BY, command=command))
    write_board(board_of(tmp_path / "runs"), tmp_path / "results")
    frame = pd.read_csv(tmp_path / "results" / "runs.csv")
    assert frame["command"].item() == "simbench run -d pictures --runs=runs -o weights=a/b.pt"
    assert json.loads(frame["options"].item()) == {"weights": "w.pt", "dim": 8}
    assert not any(b"two words" in path.read_bytes() for path in (tmp_path / "results").iterdir())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("run -d '/Users/Jane Doe/pictures/shoes' -q", "run -d 'shoes' -q"),
        ("run '--runs=/Users/Jane Doe/runs' -d a/b", "run '--runs=runs' -d a/b"),
        ('{"dim": 8, "weights": "/a/b c/w.pt"}', '{"dim": 8, "weights": "w.pt"}'),
        ("/a/b/c.png: it doesn't open, nor does '/x'", "c.png: it doesn't open, nor does '/x'"),
    ],
)
def test_a_path_is_cut_to_its_last_part_spaces_or_not(text: str, told: str) -> None:
    assert without_folders(text) == told


def test_data_sets_in_other_letters_have_slugs_of_their_own(tmp_path: Path) -> None:
    for name in ("обувь", "сумки", "a.b", "a-b", "plain"):
        record(tmp_path, dataset=name)
    records = all_runs(tmp_path)
    slugs = [table.slug for table in tables_of(records, runs_frame(records))]
    assert len(set(slugs)) == 5
    assert "plain-loo" in slugs
    assert all(re.fullmatch(r"[a-z0-9_-]+", slug) for slug in slugs)


def test_tables_do_not_depend_on_the_order_of_the_folders(tmp_path: Path) -> None:
    for root, methods in (("a", ("x", "y", "z")), ("b", ("z", "x", "y"))):
        for name in methods:
            record(tmp_path / root, name)
        write_board(board_of(tmp_path / root), tmp_path / f"results-{root}")
    for name in ("runs.csv", "leaderboard.md"):
        assert (tmp_path / "results-a" / name).read_bytes() == (tmp_path / "results-b" / name).read_bytes()


def test_without_runs_no_table_is_written(tmp_path: Path) -> None:
    assert write_board(board_of(tmp_path / "none"), tmp_path / "results") == []
    assert not (tmp_path / "results").exists()
    assert "No runs yet" in text_of(tmp_path / "none")


@pytest.mark.parametrize("channels", [1, 3])
def test_reconstructions_are_a_picture_with_originals_above(tmp_path: Path, channels: int) -> None:
    folder = record(tmp_path / "runs", "arcface")
    black, white = (np.full((2, 8, 8, channels), value, np.uint8) for value in (0, 255))
    write_beside(folder, "samples.npz", {"originals": black, "decoded": white, "cosines": np.array([0.5, 0.25])})
    picture = tmp_path / "reconstructions.png"
    (run,) = all_runs(tmp_path / "runs")
    assert write_reconstructions(run, picture)
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("L"))
    assert pixels[60, 60] == pixels[60, 190] == 0
    assert pixels[210, 60] == pixels[210, 190] == 255
    assert pixels[260:280, 10:120].min() < 128  # the cosines under them


def test_a_difference_is_told_with_the_better_one_first() -> None:
    assert difference_in_words("a", "b", 0.19, told=True) == "a is better than b by 0.190"
    assert difference_in_words("a", "b", -0.19, told=True) == "b is better than a by 0.190"
    assert difference_in_words("a", "b", -0.004, told=False) == "b cannot be told from a, ahead by 0.004"
