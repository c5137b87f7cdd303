"""One damaged run is left out of the tables by its name, and takes none of the others with it: run.json mutated."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fake_runs import DATA, change_run, fake_result, fake_spec, write_beside, write_fake, write_replicates

from bench.contract import (
    Audit,
    Budget,
    Control,
    Costs,
    DataError,
    Digests,
    EngineFacts,
    Overlap,
    RunSpec,
    SimbenchError,
    UsageError,
    from_jsonable,
)
from bench.files import json_digest
from bench.report.tables.entries import require_runs, table_runs
from bench.report.write import board_of, write_board
from bench.runs.store import all_runs, read_run, readable

LABELS = np.repeat(np.arange(4), 10)
WRONG: tuple[Any, ...] = (
    None, "\udcff", "../../x", [], {}, {"a": [1]}, -1, 1.5, True, 10**400, float("nan"), "x" * 300
)  # fmt: skip
LEFT_OUT = "left out: "


def write_run(root: Path, method: str, seed: int) -> Path:
    """Write a finished run with every part of a run.json."""
    rng = np.random.default_rng((len(method), *method.encode(), seed))
    values = np.clip(rng.normal(0.5, 0.1, len(LABELS)), 0, 1)
    scored = {"map": values, "hit@1": np.round(values)}
    scores = {metric: float(one.mean()) for metric, one in scored.items()}
    ends = {metric: (one - 0.1, one + 0.1) for metric, one in scores.items()}
    leak = Overlap("query", "train", images=40, exact=1, near=1, mirrored=0)
    result = fake_result(
        fake_spec(method=method, dataset="toy", options={"dims": 8, "center": True}, budget=Budget(epochs=2.0)),
        seed=seed,
        data=DATA,
        scores={**scores, "queries_without_relevant": 0.0},
        macro=scores,
        ci95=ends,
        ci95_other_classes=ends,
        flags=("a flag",),
        controls=(Control("shuffled_labels", 0.1, None, passed=True, meaning="chance"),),
        audit=Audit(9, 9, (leak,), (), 0, (), ()),
        digests=Digests(f"{method} {seed}", None),
        trained=True,
        deviations={"lr": 0.1},
        engine=EngineFacts("torch"),
        costs=Costs(8, 32, n_parameters=10, flops=100, network="n", peak_embed_mb=1.0),
        timings={"fit_seconds": 1.0, "embed_seconds": 1.0},
        latency={"embed_1_median_ms": 1.0, "search_median_ms": 1.0},
        load=0.1,
        pictures_timed="of one size",
    )
    folder = write_fake(root, result)
    ids = np.array([f"q{n}" for n in range(len(LABELS))], np.str_)
    arrays = {
        "ids": ids,
        "labels": LABELS,
        "gallery_ids": ids,
        "gallery_labels": LABELS,
        "classes": np.array([*"abcd"]),
    }
    write_beside(folder, "per_query.npz", {**arrays, **scored})
    write_replicates(folder, LABELS, scored)
    return folder


def places(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value in a JSON object, whole lists and objects too."""
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for name, value in inner:
        yield (*path, name)
        yield from places(value, (*path, name))


def mutations(content: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield an object with each of its values taken out, renamed, and of two wrong kinds, in turn."""
    for number, path in enumerate(places(content)):
        name = path[-1]
        for what in ("without", "renamed", WRONG[number % len(WRONG)], WRONG[(7 * number + 3) % len(WRONG)]):
            changed = copy.deepcopy(content)
            inner: Any = changed
            for step in path[:-1]:
                inner = inner[step]
            value = inner.pop(name)
            if what == "renamed" and isinstance(inner, dict):
                inner[f"{name}x"] = value
            elif isinstance(inner, list):
                inner.insert(name, what)
            elif what != "without":
                inner[name] = what
            yield f"{'.'.join(map(str, path))} {str(what)[:12]!r}", changed


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree of two methods with two seeds each."""
    root = tmp_path_factory.mktemp("damaged") / "runs"
    for method in ("one", "two"):
        for seed in (0, 1):
            write_run(root, method, seed)
    return root


@pytest.fixture
def damaged(tree: Path) -> Iterator[Path]:
    """The run.json to damage, which is put back."""
    (path,) = tree.glob("toy/loo/one/*/seed0/run.json")
    whole = path.read_bytes()
    yield path
    path.write_bytes(whole)


def test_every_mutated_run_json_is_left_out_by_its_name(
    tree: Path, damaged: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole, changed = json.loads(damaged.read_bytes()), 0
    folders = [damaged.parent, damaged.parent.with_name("seed1")]
    for name, content in mutations(whole):
        if content == whole:
            continue
        damaged.write_text(json.dumps(content), encoding="utf-8")
        caplog.clear()
        assert [run.folder for run in readable(folders, tree)] == folders[1:], name
        (said,) = caplog.messages
        assert said.startswith(LEFT_OUT), name
        assert str(damaged) in said, name
        changed += 1
    assert changed > 400


def test_mutations_with_a_digest_of_their_own_take_no_table_down(
    tree: Path, damaged: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Who can write a digest can write any score; but the other runs stand, and nothing is written elsewhere."""
    whole, harmless = json.loads(damaged.read_bytes()), []
    del whole["digest"]
    for name, content in mutations(whole):
        with suppress(ValueError):  # what JSON does not hold has no digest
            content["digest"] = json_digest(content)
        damaged.write_text(json.dumps(content), encoding="utf-8")
        caplog.clear()
        if [*readable([damaged.parent])]:
            harmless.append((name, damaged.read_bytes()))
        else:
            assert str(damaged) in caplog.messages[0], name
    for name, text in harmless[::24]:
        damaged.write_bytes(text)
        write_board(board_of(tree), tmp_path / "results")
        assert {"one", "two"} == set(pd.read_csv(tmp_path / "results" / "runs.csv")["method"]), name
    assert {path.name for path in tmp_path.iterdir()} == {"results"}


@pytest.mark.parametrize("name", ["per_query.npz", "replicates.npz"])
def test_a_flipped_bit_in_a_file_that_tables_read_leaves_its_run_out(
    tree: Path, damaged: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = damaged.parent / name
    whole = path.read_bytes()
    for at in range(0, len(whole), len(whole) // 12):
        flipped = bytearray(whole)
        flipped[at] ^= 4
        path.write_bytes(bytes(flipped))
        caplog.clear()
        assert damaged.parent not in {run.folder for run in board_of(tree).records}
        assert f"left out: cannot read {path}" in caplog.text
    path.write_bytes(whole)
    assert damaged.parent in {run.folder for run in board_of(tree).records}


def test_files_swapped_between_two_runs_leave_both_out(tree: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(tree, tmp_path / "runs"))
    one, two = (path.parent for path in sorted(root.glob("toy/loo/*/*/seed0/run.json")))
    (one / "per_query.npz").rename(root / "kept")
    (two / "per_query.npz").rename(one / "per_query.npz")
    (root / "kept").rename(two / "per_query.npz")
    assert [run.folder.name for run in board_of(root).records] == ["seed1", "seed1"]


@pytest.mark.parametrize("whose", ["seed", "key", "method", "data set"])
def test_a_folder_that_is_copied_to_anothers_place_is_no_run(
    tree: Path, tmp_path: Path, whose: str, caplog: pytest.LogCaptureFixture
) -> None:
    root = Path(shutil.copytree(tree, tmp_path / "runs"))
    (seed,) = root.glob("toy/loo/one/*/seed0")
    there = {
        "seed": seed.with_name("seed7"),
        "key": seed.parent.with_name("0123456789") / "seed0",
        "method": root / "toy" / "loo" / "three" / seed.parent.name / "seed0",
        "data set": root / "other" / "loo" / "one" / seed.parent.name / "seed0",
    }[whose]
    shutil.copytree(seed, there)
    assert there not in {run.folder for run in all_runs(root)}
    assert str(there / "run.json") in caplog.text


def test_a_copied_seed_with_a_digest_of_its_own_counts_once_and_is_an_alarm(
    tree: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = Path(shutil.copytree(tree, tmp_path / "runs"))
    (seed,) = root.glob("toy/loo/one/*/seed0")
    copied = Path(shutil.copytree(seed, seed.with_name("seed7")))
    write_text(copied / "run.json", resealed(copied, {"seed": 7}))
    board = board_of(root)
    assert copied not in {run.folder for run in board.records}
    assert f"{copied} is a copy of {seed}" in caplog.text
    (flags,) = board.frame.query("method == 'one' and seed == 0")["flags"]
    assert any(flag.startswith("copied run: ") and str(copied) in flag for flag in flags)


def test_equal_vectors_of_a_method_that_draws_nothing_are_several_seeds(tmp_path: Path) -> None:
    for seed in (0, 1):
        folder = write_run(tmp_path, "pixels", seed)
        change_run(folder, digests=Digests("the same", None), timings={"fit_seconds": 1.0 + seed})
    assert [run.result.seed for run in board_of(tmp_path).records] == [0, 1]


@pytest.mark.parametrize("name", ["../../x", "a/b", "..", "a\x00b", "nul", "x" * 300, "C:x"])
def test_a_name_is_never_a_path(tree: Path, damaged: Path, name: str) -> None:
    content = json.loads(damaged.read_bytes())
    for part in ("dataset", "protocol", "method"):
        spec = {**content["spec"], part: name}
        write_text(damaged, resealed(damaged.parent, {"spec": spec, "key": from_jsonable(RunSpec, spec).key}, content))
        with pytest.raises(SimbenchError, match="cannot be a folder's"):
            read_run(damaged.parent)


def test_all_but_damaged_runs_is_an_error_that_says_so(tmp_path: Path) -> None:
    (write_run(tmp_path, "one", 0) / "run.json").write_text("{")
    with pytest.raises(DataError, match="is left out; the warnings say why"):
        require_runs(table_runs(tmp_path), tmp_path)
    with pytest.raises(UsageError, match="no such folder"):
        require_runs(table_runs(tmp_path / "typo"), tmp_path / "typo")


def resealed(folder: Path, changes: dict[str, Any], content: dict[str, Any] | None = None) -> str:
    """Return a run.json with changes and a digest that is right."""
    whole = {**(content or json.loads((folder / "run.json").read_bytes())), **changes}
    whole.pop("digest")
    return json.dumps({**whole, "digest": json_digest(whole)})


def write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
