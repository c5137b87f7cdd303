"""Each protocol gives the parts that docs/metrics says, or says why it cannot."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import registry
from bench.contract import Collection, DataError, Images, Split, UsageError
from bench.data.splits import protocols
from bench.data.splits.protocols import build_dataset, obstacles
from bench.data.splits.subsets import Subset
from bench.plugins import METHOD, PROTOCOL
from bench.registry import get_protocol, plugin_names

MakeCollection = Callable[..., Collection]
TEN = [0] * 10 + [1] * 20 + [2] * 30


@pytest.fixture
def plain(make_collection: MakeCollection) -> Collection:
    return make_collection(train=TEN * 2, test=TEN)


def ids(split: Split) -> set[str]:
    return set(split.ids.tolist())


def per_class(split: Split) -> dict[int, int]:
    return dict(Counter(split.labels.tolist()))


def test_holdout_asks_with_a_fifth_of_the_test_part_and_searches_the_rest(plain: Collection) -> None:
    data = build_dataset(plain, "holdout")
    assert plain.test is not None
    assert per_class(data.query) == {0: 2, 1: 4, 2: 6}
    assert ids(data.query) | ids(data.gallery) == ids(plain.test)
    assert not ids(data.query) & ids(data.gallery)


def test_single_shot_searches_one_image_of_each_class_by_all_the_others(plain: Collection) -> None:
    data = build_dataset(plain, "single_shot")
    assert plain.test is not None
    assert per_class(data.gallery) == {0: 1, 1: 1, 2: 1}
    assert per_class(data.query) == {0: 9, 1: 19, 2: 29}
    assert ids(data.query) | ids(data.gallery) == ids(plain.test)
    galleries = {tuple(sorted(ids(build_dataset(plain, "single_shot", split_seed=seed).gallery))) for seed in range(10)}
    assert len(galleries) > 5


def test_auto_is_the_collections_own_protocol_before_any_other(plain: Collection) -> None:
    assert build_dataset(plain).protocol.name == "holdout"
    assert build_dataset(replace(plain, protocol="loo")).protocol.name == "loo"
    assert build_dataset(replace(plain, protocol="loo"), "database").protocol.name == "database"
    asking = replace(plain, query=plain.test, gallery=plain.train)
    assert build_dataset(asking).protocol.name == "given"
    assert build_dataset(replace(asking, protocol="loo")).protocol.name == "loo"


def test_validation_is_a_tenth_of_train_and_the_rest_is_trained_on(plain: Collection) -> None:
    data = build_dataset(plain, "holdout")
    assert per_class(data.validation) == {0: 2, 1: 4, 2: 6}
    assert ids(data.train) | ids(data.validation) == ids(plain.train)
    assert not ids(data.train) & ids(data.validation)


def test_a_validation_part_of_its_own_is_kept(make_collection: MakeCollection) -> None:
    collection = make_collection(train=TEN, validation=[0, 1, 2], test=TEN)
    data = build_dataset(collection)
    assert data.train is collection.train
    assert data.validation is collection.validation


def test_loo_asks_with_every_test_image_and_searches_the_same_ones(plain: Collection) -> None:
    data = build_dataset(plain, "loo")
    assert plain.test is not None
    np.testing.assert_array_equal(data.query.ids, plain.test.ids)
    np.testing.assert_array_equal(data.gallery.ids, plain.test.ids)


def test_database_searches_the_whole_train_part(plain: Collection) -> None:
    data = build_dataset(plain, "database")
    np.testing.assert_array_equal(data.gallery.ids, plain.train.ids)
    assert len(data.query) == 60
    assert len(data.validation) == 12


def test_given_takes_query_and_gallery_as_they_are_and_auto_prefers_it(
    make_collection: MakeCollection, plain: Collection
) -> None:
    collection = make_collection(train=TEN, query=[0, 1], gallery=[0, 1, 1])
    data = build_dataset(collection)
    assert data.protocol.name == "given"
    assert data.query is collection.query
    assert data.gallery is collection.gallery
    assert build_dataset(plain).protocol.name == "holdout"


def test_labels_images_and_ids_stay_together(plain: Collection) -> None:
    assert plain.test is not None
    data = build_dataset(plain, "holdout")
    shown = data.query.images.take(slice(None))[:, 0, 0, 0]
    assert [f"test/{number}" for number in shown] == data.query.ids.tolist()
    assert plain.test.labels[shown].tolist() == data.query.labels.tolist()


def test_name_classes_and_mirror_are_passed_on(plain: Collection) -> None:
    data = build_dataset(replace(plain, mirror=True))
    assert (data.name, data.classes, data.mirror) == (plain.name, plain.classes, True)


@pytest.mark.parametrize("protocol", ["holdout", "loo", "database"])
def test_the_cut_is_seeded(plain: Collection, protocol: str) -> None:
    first, again, other = (build_dataset(plain, protocol, split_seed=seed) for seed in (0, 0, 1))
    assert first.fingerprint == again.fingerprint
    assert first.fingerprint != other.fingerprint


@pytest.mark.parametrize("protocol", ["holdout", "loo", "database"])
def test_a_limit_keeps_so_many_train_and_so_many_test_images(plain: Collection, protocol: str) -> None:
    data = build_dataset(plain, protocol, subset=Subset(limit=12))
    assert len(data.train) + len(data.validation) == 12
    tested = {"holdout": len(data.query) + len(data.gallery), "loo": len(data.query), "database": len(data.query)}
    assert tested[protocol] == 12
    assert set(data.query.labels) <= set(data.gallery.labels) == {0, 1, 2}


def test_a_limit_holds_for_query_and_gallery_of_the_data_itself(make_collection: MakeCollection) -> None:
    data = build_dataset(make_collection(train=TEN, query=TEN, gallery=TEN * 3), subset=Subset(limit=12))
    assert (len(data.query), len(data.gallery)) == (12, 12)


@settings(deadline=None)  # the machine may be busy with something else
@given(st.lists(st.integers(0, 4), min_size=2, max_size=60), st.integers(0, 99))
def test_holdout_asks_for_every_class_of_the_test_part(labels: list[int], seed: int) -> None:
    pixels = np.zeros((len(labels), 1, 1, 1), np.uint8)
    names = np.array([str(n) for n in range(len(labels))])
    part = Split(Images(pixels), np.array(labels, np.int64), names)
    collection = Collection("toy", tuple("abcde"), train=part, test=part)
    several = [label for label, count in Counter(labels).items() if count > 1]
    if len(several) < 2:
        with pytest.raises(DataError):
            build_dataset(collection, "holdout", split_seed=seed)
    else:
        data = build_dataset(collection, "holdout", split_seed=seed)
        assert set(data.query.labels) == set(labels)
        assert set(data.gallery.labels) == set(several)
        assert ids(data.query) | ids(data.gallery) == ids(part)


def test_the_validation_part_of_tiny_data_may_be_empty(make_collection: MakeCollection) -> None:
    data = build_dataset(make_collection(train=[0, 1], test=[0, 0, 1, 1]))
    assert len(data.validation) == 0
    assert per_class(data.train) == {0: 1, 1: 1}


def test_an_unknown_protocol_is_refused_with_the_likeliest(plain: Collection) -> None:
    with pytest.raises(UsageError, match=r"unknown protocol .hold-out.; did you mean .holdout.\? \(known: auto, data"):
        build_dataset(plain, "hold-out")


@pytest.mark.parametrize(
    ("protocol", "labels", "reason"),
    [
        (
            "given",
            {"train": [0, 1], "test": [0, 1]},
            "needs a query and a gallery part.*use protocol holdout",
        ),
        ("holdout", {"train": [0, 1], "query": [0], "gallery": [0, 1]}, "needs a test part.*use protocol given"),
        ("loo", {"train": [0, 1], "test": [0, 0, 0]}, "the gallery has one class only"),
        ("loo", {"train": [0, 1], "test": [0, 1]}, "no query has another image of its class"),
        ("given", {"train": [0, 1], "query": [2], "gallery": [0, 1]}, "no query has another image of its class"),
        ("given", {"train": [0, 1], "query": [], "gallery": [0, 1]}, "0 queries and 2 gallery images"),
        ("holdout", {"train": [0, 1], "test": [0, 1]}, "2 queries and 0 gallery images"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    make_collection: MakeCollection, protocol: str, labels: dict[str, list[int]], reason: str
) -> None:
    collection = make_collection(**labels)
    with pytest.raises(DataError, match=reason):
        build_dataset(collection, protocol)
    assert obstacles(collection)[protocol]


def test_queries_without_a_partner_are_no_error_while_another_has_one(make_collection: MakeCollection) -> None:
    data = build_dataset(make_collection(train=[0, 1], query=[0, 2], gallery=[0, 1]))
    assert len(data.query) == 2


def test_each_protocol_s_claims_hold_for_what_it_cuts(plain: Collection, make_collection: MakeCollection) -> None:
    named = make_collection(train=TEN, query=[0, 1], gallery=[0, 1, 1])
    eight = make_collection(8, train=list(range(8)) * 3, test=list(range(8)) * 3)
    for name in plugin_names(PROTOCOL):
        rules = get_protocol(name)
        collection = next(one for one in (eight, named) if set(rules.needs) <= set(one.parts()))
        data = build_dataset(collection, name)
        assert data.protocol == rules
        assert rules.description
        assert rules.gallery_is_train == (ids(data.gallery) == ids(data.train) | ids(data.validation))
        assert rules.query_in_gallery == (ids(data.query) <= ids(data.gallery))


@pytest.fixture
def anothers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package that brings a protocol of its own, and one whose queries are not in the gallery as it says."""
    (tmp_path / "cameras.py").write_text(
        "from dataclasses import replace\n"
        "from bench.plugins import protocol\n\n"
        "@protocol('test', query_in_gallery=True)\n"
        "def reverse(collection, seed):\n"
        "    '''All test images, backwards.'''\n"
        "    test = collection.test.subset(__import__('numpy').arange(len(collection.test))[::-1])\n"
        "    return replace(collection, query=test, gallery=collection.test)\n\n"
        "@protocol('test', query_in_gallery=True)\n"
        "def wrong(collection, seed):\n"
        "    return replace(collection, query=collection.test, gallery=collection.train)\n",
        encoding="utf-8",
    )
    info = tmp_path / "cameras-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: cameras\nVersion: 1.0\n", encoding="utf-8")
    points = "[simbench.protocols]\nreverse = cameras:reverse\nwrong = cameras:wrong\n"
    (info / "entry_points.txt").write_text(points, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry._entry_points.cache_clear()
    yield
    registry._entry_points.cache_clear()


@pytest.mark.usefixtures("anothers")
def test_a_package_s_protocol_is_listed_cut_by_and_held_to_its_claims(plain: Collection) -> None:
    assert {"reverse", "wrong"} <= set(plugin_names(PROTOCOL))
    data = build_dataset(plain, "reverse")
    assert (data.protocol.name, data.query.ids[0]) == ("reverse", "test/59")
    with pytest.raises(DataError, match="says that every query is in the gallery"):
        build_dataset(plain, "wrong")
    assert obstacles(plain)["reverse"] == ""


def strings_of(path: Path) -> list[tuple[str, int]]:
    """Return the string constants of a file that are no docstrings, with their lines."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [
        (node.value, node.lineno)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]


def test_no_code_outside_their_declarations_knows_a_protocol_by_name() -> None:
    declared = Path(protocols.__file__)
    names = set(plugin_names(PROTOCOL))
    files = [path for path in declared.parents[2].rglob("*.py") if path != declared]
    assert len(files) > 100
    assert [(path.name, line) for path in files for text, line in strings_of(path) if text in names] == []


def test_no_code_compares_anything_with_the_name_of_a_method() -> None:
    names = set(plugin_names(METHOD))
    bench = Path(protocols.__file__).parents[2]
    # Losses, weights and ways to draw a plane have words of their own that are the same.
    files = [path for path in bench.rglob("*.py") if "training" not in path.parts and path.name != "vectors.py"]
    found = [
        (path.name, node.lineno)
        for path in files
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Compare)
        and any(isinstance(one, ast.Constant) and one.value in names for one in ast.walk(node))
    ]
    assert found == []
