"""The audit tells leaks from copies that do no harm, and what it finds is found once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import bench.data.audit.audit
from bench.contract import Collection, DataError, Images, Relevance, Split
from bench.data.audit.audit import audit, without_leaks
from bench.data.decoding.cache import AUDITS
from bench.data.splits.answers import relevant_items
from bench.data.splits.protocols import build_dataset

Pixels = NDArray[np.uint8]


def scenes(count: int, seed: int = 0) -> Pixels:
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (count, 6, 6), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(one).resize((24, 24), Image.Resampling.BICUBIC)) for one in small])[
        ..., None
    ]


def part(pixels: Pixels, prefix: str) -> Split:
    ids = np.array([f"{prefix}{number}" for number in range(len(pixels))])
    return Split(Images(pixels), np.arange(len(pixels)) % 4, ids)


def leaky() -> Collection:
    """200 train and 80 test images; test 0-4 have exact copies in train, 5-7 near ones."""
    train, test = scenes(200), scenes(80, seed=1)
    train[:5] = test[:5]
    train[5:8] = test[5:8] // 2 + 40
    train[8] = train[9]  # labels 0 and 1
    return Collection("toy", ("a", "b", "c", "d"), train=part(train, "train/"), test=part(test, "test/"))


@pytest.mark.parametrize("protocol", ["holdout", "loo", "database"])
def test_leaks_are_counted_apart_from_other_copies(protocol: str) -> None:
    found = audit(build_dataset(leaky(), protocol))
    exact, near = (sum(getattr(leak, kind) for leak in found.leaks) for kind in ("exact", "near"))
    assert (exact, near) == ((10, 6) if protocol == "loo" else (5, 3))
    (within,) = (one for one in found.overlaps if (one.part, one.other) == ("train", "train"))
    assert (within.exact, within.near) == (2, 0)
    assert found.conflicts == 1
    assert found.examples == ("train/9 (b) equals train/8 (a)",) or "train/8 (a) equals train/9 (b)" in found.examples


@pytest.mark.parametrize("protocol", ["holdout", "loo", "database"])
def test_dropping_leaks_leaves_none_and_touches_train_alone(protocol: str, tmp_path: Path) -> None:
    data = build_dataset(leaky(), protocol)
    clean = without_leaks(data, tmp_path)
    assert audit(clean, tmp_path).leaked == audit(clean).leaked == 0
    assert len(clean.train) + len(clean.validation) == 192
    assert clean.query is data.query
    assert clean.gallery is data.gallery
    assert clean.fingerprint != data.fingerprint
    assert "8 of 200 training images are copies of images to test on" in clean.notes[-1]


def test_without_leaks_nothing_changes_but_a_note(tmp_path: Path) -> None:
    collection = Collection("toy", ("a", "b", "c", "d"), train=part(scenes(40), "r"), test=part(scenes(40, 1), "t"))
    data = build_dataset(collection)
    clean = without_leaks(data, tmp_path)
    assert clean.fingerprint == data.fingerprint
    assert "0 of 40" in clean.notes[-1]
    assert audit(data, tmp_path).leaks == ()
    assert audit(data, tmp_path).overlaps == ()


def test_what_was_found_is_kept_and_a_damaged_file_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = build_dataset(leaky())
    first = audit(data, tmp_path)
    (file,) = (tmp_path / AUDITS).iterdir()
    file.write_bytes(file.read_bytes()[:50])
    assert audit(data, tmp_path) == first
    monkeypatch.setattr(bench.data.audit.audit, "find_copies", None)
    assert audit(data, tmp_path) == first


def test_a_cache_that_cannot_be_written_does_not_stop_the_audit(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert audit(build_dataset(leaky()), tmp_path / "file").leaked == 8


def test_training_images_that_are_all_copies_are_an_error() -> None:
    same = part(scenes(40), "x/")
    with pytest.raises(DataError, match="nothing is left to learn"):
        without_leaks(build_dataset(Collection("toy", ("a", "b", "c", "d"), train=same, test=same)))


def test_classes_without_queries_are_named() -> None:
    collection = leaky()
    test = collection.test
    assert test is not None
    query = test.subset(np.flatnonzero(test.labels < 3))
    data = build_dataset(replace(collection, test=None, query=query, gallery=collection.train))
    assert audit(data).unasked == ("d",)


@pytest.mark.parametrize("protocol", ["holdout", "loo", "database"])
def test_queries_with_something_to_find_are_counted_as_plain_loops_count_them(protocol: str) -> None:
    rng = np.random.default_rng(3)
    parts = [replace(part(scenes(n, seed=n), f"{n}/"), labels=rng.integers(0, 12, n)) for n in (30, 25)]
    data = build_dataset(Collection("toy", tuple("abcdefghijkl"), train=parts[0], test=parts[1]), protocol)
    gallery = list(zip(data.gallery.ids, data.gallery.labels, strict=True))
    found = [
        sum(label == one and name != other for other, one in gallery)
        for name, label in zip(data.query.ids, data.query.labels, strict=True)
    ]
    assert relevant_items(data.query, data.gallery).tolist() == found
    assert (audit(data).scored, audit(data).queries) == (sum(count > 0 for count in found), len(found))


def test_labels_that_decide_nothing_do_not_disagree() -> None:
    pixels = scenes(6)
    ids = [np.array([f"{part}{row}" for row in range(3)]) for part in "tqg"]
    train, query, gallery = (
        Split(Images(pixels[[3, 4, 5]] if part == 0 else pixels[:3]), np.full(3, part, np.int64), ids[part])
        for part in range(3)
    )
    asked = replace(query, relevance=Relevance(positives=(("g0",), ("g1",), ("g2",))))
    gallery = replace(gallery, labels=np.array([2, 2, 0]))
    lists = Collection("toy", ("a", "b", "c"), train=train, query=asked, gallery=gallery)
    labels = replace(lists, query=replace(query, labels=np.array([1, 2, 2])))
    found, before = (audit(build_dataset(one)) for one in (lists, labels))
    assert (found.conflicts, found.examples, found.unasked) == (0, (), ())
    assert before.conflicts > 0
    assert found.scored == 3
