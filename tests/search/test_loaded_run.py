"""A run that is opened again embeds and decodes as it did when it was scored."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fake_runs import NOTHING, change_run
from PIL import Image

from bench.config import Config, Settings
from bench.contract import DataError, DataPlace, Dataset, Resize, SimbenchError, UsageError
from bench.data.decoding.decode import DecodeRecipe
from bench.data.layouts.folder import list_folder
from bench.data.layouts.listing import collect
from bench.data.splits.protocols import build_dataset
from bench.runs.loaded_run import TrainedRun, find_run, images_of, open_run
from bench.search.search import Searcher

CPU = torch.device("cpu")


def no_bar(items, *, total, what):  # type: ignore[no-untyped-def]  # a bar that does nothing
    return items


def test_it_embeds_the_gallery_as_the_run_did(run: TrainedRun, digits: tuple[Path, Dataset]) -> None:
    data = digits[1]
    gallery = run.gallery()
    assert gallery.ids.tolist() == data.gallery.ids.tolist()
    assert gallery.classes == data.classes
    assert np.array_equal(gallery.labels, data.gallery.labels)
    np.testing.assert_allclose(run.embed(data.gallery.images.take(slice(None))), gallery.vectors, atol=1e-5)


def test_it_decodes_as_the_run_did(run: TrainedRun) -> None:
    with np.load(run.record.folder / "samples.npz") as samples, np.load(run.record.folder / "per_query.npz") as queries:
        rows = [queries["ids"].tolist().index(one) for one in samples["ids"].tolist()]
        expected, originals = samples["decoded"], samples["originals"]
    assert len(rows) == 16
    decoded = run.decode(run.embed(originals))
    assert decoded.dtype == np.uint8
    assert int(np.abs(decoded.astype(int) - expected).max()) <= 1  # the vectors went through float32 files


def test_the_images_of_the_run_are_loaded_and_proven(
    run: TrainedRun, digits: tuple[Path, Dataset], tmp_path: Path
) -> None:
    data = images_of(run.record, Config(Settings()), no_bar, tmp_path)
    assert data.fingerprint == digits[1].fingerprint
    assert len(data.gallery) == len(run.gallery().ids)


def test_other_images_are_refused(run: TrainedRun, tmp_path: Path) -> None:
    result = run.record.result
    other = replace(result.spec, data={**result.spec.data, "limit": 200})
    record = replace(run.record, result=replace(result, spec=other))
    with pytest.raises(DataError, match="not the images that"):
        images_of(record, Config(Settings()), no_bar, tmp_path)


def test_a_run_is_found_in_a_folder_above_it_if_it_is_the_only_one(run: TrainedRun, tmp_path: Path) -> None:
    folder = run.record.folder
    assert find_run(folder.parents[2]).folder == folder
    for number in (0, 1):
        shutil.copytree(folder, tmp_path / f"seed{number}")
    with pytest.raises(UsageError, match="2 runs in it"):
        find_run(tmp_path)
    with pytest.raises(UsageError, match="no run"):
        find_run(tmp_path / "seed0" / "checkpoints")
    with pytest.raises(UsageError, match="no such folder"):
        find_run(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({**NOTHING, "reason": "out of memory"}, r"failed \(out of memory\)"),
        ({"has_weights": False}, "keeps no weights"),
        ({"spec": {"method": "pixels", "options": {}}}, "do not fit the method pixels"),
    ],
)
def test_a_run_that_cannot_be_used_says_why(run: TrainedRun, tmp_path: Path, change: dict[str, Any], said: str) -> None:
    copy = tmp_path / "seed0"
    shutil.copytree(run.record.folder, copy)
    change_run(copy, **change)
    with pytest.raises(SimbenchError, match=said):
        open_run(copy, CPU)


def test_wrong_shapes_are_refused(run: TrainedRun) -> None:
    with pytest.raises(DataError, match="takes images of 8x8x1"):
        run.embed(np.zeros((1, 9, 8, 1), np.uint8))
    with pytest.raises(DataError, match=r"decodes vectors \(n, 16\)"):
        run.decode(np.zeros((1, 15), np.float32))


@pytest.mark.parametrize("resize", ["crop", "pad", "stretch"])
def test_how_own_images_were_resized_is_a_value_of_collection_and_data_set(tmp_path: Path, resize: str) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "own" / name).mkdir(parents=True)
        for number in range(4):
            Image.new("RGB", (20 + number, 30)).save(tmp_path / "own" / name / f"{number}.png")
    place = DataPlace(root=None, cache=tmp_path / "cache")
    found = collect(list_folder(tmp_path / "own"), place, DecodeRecipe((16, 16), resize), mirror=True)  # type: ignore[arg-type]
    data = build_dataset(found, "database")
    assert data.resize == Resize(16, 16, resize)  # type: ignore[arg-type]
    assert data.at((9, 5)).resize == Resize(9, 5, resize)  # type: ignore[arg-type]


def test_a_run_opens_with_the_resizing_it_recorded_whatever_its_notes_say(run: TrainedRun, tmp_path: Path) -> None:
    assert run.resize == Resize(8, 8, "crop")  # digits come in one size
    copy = tmp_path / "seed0"
    shutil.copytree(run.record.folder, copy)
    data = replace(run.record.result.data, notes=("brought to it (stretch)",))
    copy = change_run(copy, data=data, spec={"resize": Resize(8, 8, "pad")})
    opened = open_run(copy, CPU)
    assert opened.resize == Resize(8, 8, "pad")
    assert Searcher.of(opened).preparation.resize == "pad"
