"""A folder searched without a run: fitted once on its own pictures, kept, and anew when the folder is another."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bench.contract import DataError, UsageError, Workplace
from bench.runs.untrained import UntrainedMethod
from bench.search.fitted_on_folder import open_untrained
from bench.search.gallery import OwnGallery, open_gallery
from bench.training.checkpoints import DAMAGED, verified_checkpoint

CPU = torch.device("cpu")


def no_bar(items: Iterable[Any], *, total: int, what: str) -> Iterable[Any]:
    return items


def pattern(number: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)


class Folder:
    """A flat folder of pictures searched by centred pixels of 8x8."""

    def __init__(self, root: Path) -> None:
        self.root, self.cache = root / "flat", root / "cache"
        self.root.mkdir()
        self.said: list[str] = []

    def put(self, *numbers: int) -> None:
        for number in numbers:
            Image.fromarray(pattern(number)).save(self.root / f"{number}.png")

    def open(self, **options: Any) -> tuple[UntrainedMethod, OwnGallery]:
        self.said = []
        method = UntrainedMethod.of("pixels", {"center": True, "size": 8, **options}, CPU)
        place = Workplace(self.cache, CPU, 1, no_bar, self.said.append)
        fitted = open_untrained(self.root, method, self.cache, place)
        return fitted, open_gallery(self.root, fitted, self.cache, no_bar, self.said.append)

    def expected(self, own: OwnGallery, *fitted_on: int) -> np.ndarray[Any, Any]:
        """Return the vectors by plain arithmetic: pixels minus the mean of the pictures named, at unit length."""
        mean = np.mean([pattern(number) / 255 for number in fitted_on], axis=0)
        centred = np.stack([pattern(int(Path(name).stem)) / 255 - mean for name in own.items.names])
        flat = centred.transpose(0, 3, 1, 2).reshape(len(centred), -1)
        return np.asarray(flat / np.linalg.norm(flat, axis=1, keepdims=True))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path)
    made.put(*range(6))
    return made


def alike(own: OwnGallery, expected: np.ndarray[Any, Any]) -> None:
    cosines = np.einsum("ij,ij->i", own.items.vectors, expected)
    np.testing.assert_allclose(cosines, 1, atol=1e-5)


def test_the_mean_is_of_the_folders_own_pictures_and_said_to_be(folder: Folder) -> None:
    _, own = folder.open()
    alike(own, folder.expected(own, *range(6)))
    assert own.items.labels == [None] * 6
    assert any("no run is given; fitted on 6 of this folder's own pictures" in line for line in folder.said)


def test_a_second_start_embeds_what_is_new_by_the_mean_of_the_first(folder: Folder) -> None:
    first, before = folder.open()
    folder.put(10, 11)
    (folder.root / "0.png").unlink()
    second, own = folder.open()
    assert second.identity == first.identity
    assert (own.changes.unchanged, own.changes.added, own.changes.deleted) == (5, 2, 1)
    alike(own, folder.expected(own, *range(6)))
    kept = {name: vector.tobytes() for name, vector in zip(before.items.names, before.items.vectors, strict=True)}
    for name, vector in zip(own.items.names, own.items.vectors, strict=True):
        assert kept.get(name, vector.tobytes()) == vector.tobytes()
    assert any("5 of its 7 pictures were there" in line for line in folder.said)
    assert folder.open()[1].changes.unchanged == 7


def test_when_most_pictures_are_new_it_is_fitted_anew_and_all_are_embedded_again(folder: Folder) -> None:
    first, _ = folder.open()
    indexes = set(folder.cache.rglob("*.safetensors"))
    folder.put(*range(10, 17))
    second, own = folder.open()
    assert second.identity != first.identity
    assert own.changes.added == 13
    alike(own, folder.expected(own, *range(6), *range(10, 17)))
    assert any("fitted anew" in line for line in folder.said)
    assert len(set(folder.cache.rglob("*.safetensors"))) == len(indexes)  # the old index is gone


def test_other_options_and_other_folders_share_nothing(folder: Folder, tmp_path: Path) -> None:
    centred, _ = folder.open()
    plain, _ = folder.open(center=False)
    assert plain.identity != centred.identity
    (tmp_path / "moved").mkdir()
    folder.root = folder.root.rename(tmp_path / "moved" / "flat")
    assert folder.open()[1].changes.added == 6


def test_a_damaged_state_is_fitted_again(folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
    first, _ = folder.open()
    (state,) = folder.cache.rglob("fitted.safetensors")
    state.write_bytes(state.read_bytes()[:-1] + b"\xff")
    with pytest.raises(DAMAGED, match="damaged"):
        verified_checkpoint(state)
    again, own = folder.open()
    assert again.identity == first.identity
    assert own.changes.unchanged == 6
    assert "thrown away" in caplog.text
    verified_checkpoint(state)


def test_unreadable_pictures_are_not_fitted_on(folder: Folder) -> None:
    (folder.root / "bad.png").write_bytes(b"no picture")
    _, own = folder.open()
    assert [name for name, _ in own.broken] == ["bad.png"]
    alike(own, folder.expected(own, *range(6)))
    for path in folder.root.glob("[0-9].png"):
        path.unlink()
    with pytest.raises(DataError, match=r"no picture in it can be read: bad\.png"):
        folder.open()


@pytest.mark.parametrize("name", ["triplet", "autoencoder", "lda"])
def test_a_method_that_learns_is_refused_with_the_way_to_train_it(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} needs training: simbench run -m {name} "):
        UntrainedMethod.of(name, {}, CPU)


@pytest.mark.parametrize("name", ["pixels", "hog", "random", "pca"])
def test_a_baseline_is_the_same_when_it_is_opened_again(folder: Folder, name: str) -> None:
    place = Workplace(folder.cache, CPU, 1, no_bar, folder.said.append)
    pictures = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    first, again = (
        open_untrained(folder.root, UntrainedMethod.of(name, {"size": 32}, CPU), folder.cache, place) for _ in range(2)
    )
    assert first.identity == again.identity
    assert first.dimension == again.dimension
    np.testing.assert_array_equal(first.embed(pictures), again.embed(pictures))
