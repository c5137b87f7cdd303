"""Own pictures are embedded once, and what happens to their files is noticed."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bench.contract import DataError, Dataset
from bench.evaluation.ranking.arrays import Vectors
from bench.runs.loaded_run import TrainedRun
from bench.search.gallery import Changes, OwnGallery, open_gallery

pytestmark = pytest.mark.slow


class Own:
    """A folder of pictures, and how many of them were embedded at the last start."""

    def __init__(self, run: TrainedRun, data: Dataset, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.run, self.root, self.cache, self.data = run, folder / "own", folder / "cache", data
        self.embedded = 0
        self.said: list[str] = []
        embed = TrainedRun.embed

        def counted(one: TrainedRun, pixels: np.ndarray) -> Vectors:
            self.embedded += len(pixels)
            return embed(one, pixels)

        monkeypatch.setattr(TrainedRun, "embed", counted)
        for row in range(12):
            self.put(f"{'even' if row % 2 == 0 else 'odd'}/{row}.png", row)

    def put(self, name: str, row: int) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(self.data.gallery.images.take(slice(row, row + 1))[0, ..., 0]).save(path)
        return path

    def open(self) -> OwnGallery:
        self.embedded, self.said = 0, []
        return open_gallery(self.root, self.run, self.cache, no_bar, self.said.append)


def no_bar(items, *, total, what):  # type: ignore[no-untyped-def]  # a bar that does nothing
    return items


@pytest.fixture
def own(run: TrainedRun, digits: tuple[Path, Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Own:
    return Own(run, digits[1], tmp_path, monkeypatch)


def agrees(found: OwnGallery, own: Own) -> bool:
    """Whether every vector is that of the file as it is now: the oracle is embedding it again."""
    for name, vector in zip(found.items.names, found.items.vectors, strict=True):
        pixels = np.asarray(Image.open(own.root / name))[None, ..., None]
        if not np.allclose(own.run.embed(pixels)[0], vector, atol=1e-5):
            return False
    return True


def test_a_second_start_embeds_nothing_and_finds_the_same(own: Own) -> None:
    first = own.open()
    assert own.embedded == 12
    assert first.changes == Changes(unchanged=0, added=12, changed=0, deleted=0)
    assert set(first.items.labels) == {"even", "odd"}
    (index,) = (own.cache / "galleries").glob("*.safetensors")
    os.utime(index, (1, 1))
    second = own.open()
    assert index.stat().st_mtime > 1, "the cache goes by when it was last used"
    assert own.embedded == 0
    assert own.said == []
    assert second.changes == Changes(unchanged=12, added=0, changed=0, deleted=0)
    assert second.items.names == first.items.names
    assert np.array_equal(second.items.vectors, first.items.vectors)
    assert agrees(second, own)


def test_added_changed_and_deleted_files_are_noticed_and_only_these_embedded(own: Own) -> None:
    own.open()
    own.put("new/first.png", 30)
    own.put("even/4.png", 31)
    (own.root / "odd" / "7.png").unlink()
    (own.root / "odd" / "9.png").unlink()
    found = own.open()
    assert found.changes == Changes(unchanged=9, added=1, changed=1, deleted=2)
    assert own.embedded == 2
    assert "new/first.png" in found.items.names
    assert not {"odd/7.png", "odd/9.png"} & set(found.items.names)
    assert agrees(found, own)
    assert own.open().changes == Changes(unchanged=11, added=0, changed=0, deleted=0)


def test_deleting_alone_embeds_nothing(own: Own) -> None:
    own.open()
    (own.root / "odd" / "7.png").unlink()
    assert own.open().changes == Changes(unchanged=11, added=0, changed=0, deleted=1)
    assert own.embedded == 0


def test_a_change_is_noticed_though_size_and_time_are_set_back(own: Own) -> None:
    path = own.root / "even" / "4.png"
    own.put("even/4.png", 0)
    before, about = path.read_bytes(), path.stat()
    own.open()
    other = own.put("other.png", 1).read_bytes()
    (own.root / "other.png").unlink()
    path.write_bytes((other + bytes(len(before)))[: max(len(before), len(other))])
    os.truncate(path, max(len(before), len(other)))
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert own.open().changes.changed == 1


def test_broken_files_are_left_out_told_and_not_tried_again(own: Own) -> None:
    (own.root / "odd" / "broken.png").write_bytes((own.root / "odd" / "1.png").read_bytes()[:40])
    (own.root / "odd" / "text.jpg").write_text("no picture")
    (own.root / "odd" / "link.png").symlink_to("nowhere.png")
    (own.root / "notes.txt").write_text("not meant to be one")
    first = own.open()
    assert own.embedded == 12
    assert {name for name, _ in first.broken} == {"odd/broken.png", "odd/text.jpg", "odd/link.png"}
    assert all(reason for _, reason in first.broken)
    assert len(first.items.names) == 12
    second = own.open()
    assert second.broken == first.broken
    assert own.embedded == 0
    own.put("odd/broken.png", 40)
    third = own.open()
    assert third.changes == Changes(unchanged=14, added=0, changed=1, deleted=0)
    assert "odd/broken.png" in third.items.names
    assert agrees(third, own)


@pytest.mark.parametrize("batches", [0, 2])
def test_an_interrupted_start_is_gone_on_from(own: Own, monkeypatch: pytest.MonkeyPatch, batches: int) -> None:
    monkeypatch.setattr("bench.search.gallery_index.BATCH", 4)
    embed, left = TrainedRun.embed, [batches]

    def interrupted(one: TrainedRun, pixels: np.ndarray) -> Vectors:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return embed(one, pixels)

    with monkeypatch.context() as patched:
        patched.setattr(TrainedRun, "embed", interrupted)
        with pytest.raises(KeyboardInterrupt):
            own.open()
    found = own.open()
    assert own.embedded == 12 - 4 * batches
    assert found.changes == Changes(unchanged=4 * batches, added=12 - 4 * batches, changed=0, deleted=0)
    assert agrees(found, own)


def test_a_damaged_index_is_made_again(own: Own, caplog: pytest.LogCaptureFixture) -> None:
    own.open()
    (path,) = (own.cache / "galleries").glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:-100])
    found = own.open()
    assert own.embedded == 12
    assert "damaged index" in caplog.text
    assert agrees(found, own)


def test_another_run_or_the_same_one_made_anew_has_another_index(own: Own) -> None:
    own.open()
    record = own.run.record
    again = replace(record, result=replace(record.result, seconds=0.0))
    own.run = TrainedRun(again, own.run.method, own.run.shape, own.run.resize, torch.device("cpu"))
    own.open()
    assert own.embedded == 12


@pytest.mark.skipif(os.name != "posix", reason="names that are no text exist on POSIX only")
def test_a_name_that_is_no_text_is_kept_and_found_again(own: Own) -> None:
    source = own.put("odd/plain.png", 5)
    odd = os.fsdecode(b"caf\xe9 \n.png")
    source.rename(own.root / "odd" / odd)
    first, second = own.open(), own.open()
    assert f"odd/{odd}" in second.items.names
    assert first.items.names == second.items.names
    assert own.embedded == 0


def test_a_file_of_the_folder_is_known_by_its_name(own: Own, tmp_path: Path) -> None:
    found = own.open()
    assert found.name_of(own.root / "odd" / ".." / "odd" / "1.png") == "odd/1.png"
    assert found.name_of(own.root / "odd" / "99.png") is None
    assert found.name_of(tmp_path / "elsewhere.png") is None


def test_a_file_of_the_folder_is_known_behind_a_link_too(own: Own, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(own.root, target_is_directory=True)
    gallery = own.open()
    assert gallery.name_of(link / "even" / "0.png") == "even/0.png"


def test_a_folder_without_a_picture_is_an_error(own: Own, tmp_path: Path) -> None:
    own.root = tmp_path / "empty"
    with pytest.raises(DataError, match="no such folder"):
        own.open()
    own.root.mkdir()
    with pytest.raises(DataError, match="no picture in it"):
        own.open()
    (own.root / "a.png").write_text("none")
    with pytest.raises(DataError, match=r"a\.png \("):
        own.open()
    (own.root / "a.png").unlink()
    with pytest.raises(DataError, match="no picture in it"):
        own.open()
    own.put("b.png", 1)
    assert own.open().items.labels == [None]
