"""Which pixels a method is given: by its own option, for all of a call, or as its network was made for them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.config import Config, Settings
from bench.contract import Collection, DataPlace, RunSpec, no_progress
from bench.data.decoding.decode import DecodeRecipe
from bench.data.layouts.folder import list_folder
from bench.data.layouts.listing import collect
from bench.data.splits.protocols import build_dataset
from bench.runs.run_plan import as_in_run, load_collection, plan_cells, sized_for


@dataclass
class Sees:
    """A method that says what it wants to see, and does nothing else."""

    size: int | None = None
    native_size: tuple[int, int] | None = None

    def fit(self, *_: Any) -> None:
        """Nothing is learnt."""

    def embed(self, pixels: Any) -> Any:
        return pixels


def photographs(folder: Path, *, side: int = 100) -> Collection:
    for name, grey in (("cat", 10), ("dog", 200)):
        for number in range(8):
            (folder / "own" / name).mkdir(parents=True, exist_ok=True)
            odd = side + (number if side > 64 else 0)
            Image.new("L", (side, odd), grey + number).save(folder / "own" / name / f"{number}.png")
    return collect(list_folder(folder / "own"), DataPlace(None, folder / "cache"), DecodeRecipe(), mirror=False)


@pytest.mark.parametrize(
    ("method", "flag", "seen"),
    [
        (Sees(), None, "64x64x1"),
        (Sees(native_size=(224, 200)), None, "224x200x1"),
        (Sees(), "30x40", "30x40x1"),
        (Sees(native_size=(224, 224)), "30x40", "30x40x1"),
        (Sees(size=50, native_size=(224, 224)), None, "50x50x1"),
        (Sees(size=50), "30x40", "50x50x1"),
    ],
)
def test_photographs_come_at_the_size_that_a_method_asks_for(
    tmp_path: Path, method: Sees, flag: str | None, seen: str
) -> None:
    data = build_dataset(photographs(tmp_path), "loo")
    assert str(sized_for(method, data, Settings(image_size=flag)).shape) == seen


def test_small_pictures_of_one_size_come_as_they_are_unless_asked_otherwise(tmp_path: Path) -> None:
    data = build_dataset(photographs(tmp_path, side=20), "loo")
    assert str(sized_for(Sees(native_size=(224, 224)), data, Settings()).shape) == "20x20x1"
    assert str(sized_for(Sees(size=24), data, Settings()).shape) == "24x24x1"


def test_images_of_an_array_come_as_they_are(caplog: pytest.LogCaptureFixture) -> None:
    from bench import load

    data = load("digits", protocol="loo", limit=200, image_size="32")
    assert str(sized_for(Sees(size=32), data, Settings(image_size="32")).shape) == "8x8x1"
    assert "its images come as they are, 8x8x1; --image-size is for picture files" in caplog.text


def test_a_decoder_of_files_changes_nothing_of_an_array_and_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("torchcodec")
    asked = Settings(decoder="torchcodec", limit=200)
    specs = []
    for settings in (asked, replace(asked, decoder="pillow")):
        config = Config(settings)
        data = {"digits": load_collection("digits", config, no_progress, Path("cache"))}
        specs += [cell.spec for cell in plan_cells(["pixels"], data, config, [], "cpu")]
    assert specs[0].key == specs[1].key
    assert "run.decoder is for picture files" in caplog.text


def test_runs_of_all_sizes_ask_the_same_pictures_and_have_keys_of_their_own(tmp_path: Path) -> None:
    config = Config(replace(Settings(), protocol="loo"))
    words = ["pixels.size=24"]
    cells = plan_cells(["pixels", "hog"], {"own": photographs(tmp_path)}, config, words, "cpu")
    sizes = {cell.spec.method: str(cell.dataset.shape) for cell in cells}
    assert sizes == {"pixels": "24x24x1", "hog": "64x64x1"}
    assert len({cell.spec.fingerprint for cell in cells}) == 1
    hog = next(cell.spec for cell in cells if cell.spec.method == "hog")
    assert hog.resize is not None
    assert len({replace(hog, resize=one).key for one in (hog.resize, replace(hog.resize, height=65), None)}) == 3


def test_a_data_sets_own_metrics_are_part_of_its_runs(tmp_path: Path) -> None:
    asked = replace(photographs(tmp_path), metrics=("minp",))
    config = Config(replace(Settings(), protocol="loo"))
    specs = [
        plan_cells(["pixels"], {"own": one}, config, [], "cpu")[0].spec for one in (asked, replace(asked, metrics=()))
    ]
    assert [one.metrics for one in specs] == [("minp",), ()]
    assert specs[0].fingerprint == specs[1].fingerprint
    assert specs[0].key != specs[1].key


def test_data_are_seen_as_a_run_saw_them_or_not_at_all(tmp_path: Path) -> None:
    data = build_dataset(photographs(tmp_path), "loo")
    larger = data.at((70, 70))
    spec = RunSpec("own", "loo", "hog", data.fingerprint, resize=larger.resize)
    found = as_in_run(data, spec)
    assert found is not None
    np.testing.assert_array_equal(found.query.images.pixels, larger.query.images.pixels)
    assert larger.resize is not None
    assert as_in_run(data, replace(spec, resize=replace(larger.resize, mode="pad"))) is None  # other pixels
    assert as_in_run(data, replace(spec, resize=None)) is None
    assert as_in_run(data, replace(spec, fingerprint="f" * 64)) is None
