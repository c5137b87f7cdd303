"""Search is exact, in a defined order, and a query that is an item never finds itself."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from bench.contract import DataError, Dataset, UsageError
from bench.runs.loaded_run import TrainedRun
from bench.search.preparation import Preparation
from bench.search.search import Items, Searcher, label_of_query, nearest

SMALL = st.integers(-3, 3).map(float)


@settings(max_examples=40, deadline=None)
@given(
    vectors=arrays.arrays(np.float32, st.tuples(st.integers(1, 20), st.just(3)), elements=SMALL),
    query=arrays.arrays(np.float32, 3, elements=SMALL),
    k=st.integers(1, 25),
    data=st.data(),
)
def test_nearest_is_a_stable_sort_by_similarity(vectors, query, k, data) -> None:  # type: ignore[no-untyped-def]
    itself = data.draw(st.none() | st.integers(0, len(vectors) - 1))
    rows, similarities = nearest(vectors, query, k, itself)
    exact = vectors.astype(np.float64) @ query
    expected = sorted((row for row in range(len(vectors)) if row != itself), key=lambda row: (-exact[row], row))[:k]
    assert rows.tolist() == expected
    assert similarities.tolist() == exact[expected].tolist()


def test_nearest_agrees_with_faiss() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(2_000, 32)).astype(np.float32)
    index = faiss.IndexFlatIP(32)
    index.add(vectors)
    for query in rng.normal(size=(20, 32)).astype(np.float32):
        rows, similarities = nearest(vectors, query, 10, None)
        theirs, places = index.search(query[None], 10)
        assert rows.tolist() == places[0].tolist()
        np.testing.assert_allclose(similarities, theirs[0], rtol=1e-5)


@pytest.fixture
def searcher(run: TrainedRun) -> Searcher:
    return Searcher(run, Preparation(run.shape, run.resize.mode), Items.of_run(run.gallery()))


def test_neighbours_of_a_run_are_those_that_it_recorded(
    searcher: Searcher, run: TrainedRun, digits: tuple[Path, Dataset]
) -> None:
    """The run's own ranking, made by other code, is the oracle."""
    query = digits[1].query
    with np.load(run.record.folder / "per_query.npz") as kept:
        similarities = kept["similarities"]
    for row in range(0, len(query), 7):
        answer = searcher.by_array(query.images.take(slice(row, row + 1))[0], 10)
        assert [hit.rank for hit in answer.hits] == list(range(1, 11))
        np.testing.assert_allclose([hit.similarity for hit in answer.hits], similarities[row, :10], atol=1e-5)
        assert answer.embed_ms > 0
        assert answer.search_ms > 0


def test_file_image_and_array_find_the_same(searcher: Searcher, digits: tuple[Path, Dataset], tmp_path: Path) -> None:
    pixels = digits[1].gallery.images.take(slice(3, 4))[0]
    image = Image.fromarray(pixels[..., 0])
    image.save(tmp_path / "q.png")
    name = str(digits[1].gallery.ids[3])
    answers = [searcher.by_array(pixels), searcher.by_image(image), searcher.by_file(tmp_path / "q.png")]
    assert len({answer.hits for answer in answers}) == 1
    assert answers[0].hits[0].name == name
    assert answers[0].hits[0].similarity == pytest.approx(1)
    assert answers[0].hits[0].label == digits[1].classes[int(digits[1].gallery.labels[3])]


def test_an_item_never_finds_itself_even_among_copies() -> None:
    vectors = np.tile(np.array([[1, 0]], np.float32), (3, 1))
    searcher = Searcher(None, None, Items(vectors, ["a", "b", "c"], [None] * 3))  # type: ignore[arg-type]  # not used
    assert [hit.name for hit in searcher.by_name("b").hits] == ["a", "c"]
    with pytest.raises(UsageError, match="no item is called 'd'"):
        searcher.by_name("d")


def test_nonsense_is_refused() -> None:
    one = np.ones((1, 1), np.float32)
    searcher = Searcher(None, None, Items(one, ["a"], ["x"]))  # type: ignore[arg-type]  # not used
    assert searcher.by_name("a").hits == ()
    with pytest.raises(UsageError, match="k must be 1 or more"):
        searcher.by_vector(one[0], 0)
    with pytest.raises(DataError, match="1 dimensions"):
        searcher.by_vector(np.ones(2, np.float32))
    with pytest.raises(DataError, match="nothing to search"):
        Items(one[:0], [], [])
    with pytest.raises(DataError, match="2 names"):
        Items(one, ["a", "b"], [None])


def test_a_querys_label_is_its_folder_where_that_is_a_label() -> None:
    assert label_of_query(Path("somewhere/cat/1.jpg"), {"cat", None}) == "cat"
    assert label_of_query(Path("somewhere/cat/front/1.jpg"), {"cat", None}) is None
    assert label_of_query(Path("asked/cat/front/1.jpg"), {"cat", None}, Path("asked")) == "cat"
    assert label_of_query(Path("cat/asked/front/1.jpg"), {"cat", None}, Path("cat/asked")) is None
    assert label_of_query(Path("cafe\u0301/1.jpg"), {"caf\u00e9"}) == "caf\u00e9"
    assert label_of_query(Path("somewhere/1.jpg"), {"cat", None}) is None


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_a_query_that_is_no_numbers_is_refused(value: float) -> None:
    searcher = Searcher(None, None, Items(np.eye(2, dtype=np.float32), ["a", "b"], [None, None]))  # type: ignore[arg-type] # not used
    with pytest.raises(DataError, match="the query: 1 of 1 rows are"):
        searcher.by_vector(np.full(2, value, np.float32))
