"""What revisited Oxford and Paris have in common: their pickle of who answers whom, and a million distractors.

Radenović, Iscen, Tolias, Avrithis and Chum 2018, "Revisiting Oxford and Paris: Large-Scale Image Retrieval
Benchmarking" (CVPR).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bench import Collection, DataError, DataPlace, Relevance
from bench.contract import Card, ResizeMode
from bench.data.decoding.image_source import Box, Crop, Source
from bench.data.layouts.listing import Part

from ._benchmark import Benchmark, rows
from ._pickled import read_pickled
from ._pictures import listed_picture

Variant = Literal["medium", "easy", "hard", "medium_1m", "easy_1m", "hard_1m"]
QUERIES, DISTRACTORS = 70, 1_001_001
LABEL = "landmark"  # of every picture: lists say what answers, labels do not
ALL = "revisitop1m"


def revisited(name: str, pictures: str) -> Benchmark:
    """Return one of the two. pictures: the archives that they are in."""
    return Benchmark(
        name,
        folders=(name, f"datasets/{name}"),
        layouts=((f"gnd_{name}.pkl", "jpg"),),
        get=f"gnd_{name}.pkl from http://cmp.felk.cvut.cz/revisitop, and {pictures}, unpacked into its jpg/",
        ks=(1, 5, 10),
        metrics=("map_trapezoid", "mp@k"),
    )


def card_of(city: str, name: str, database: int) -> Card:
    """Return the card of one of the two. database: how many images are searched, without distractors."""
    return Card(
        what=f"Photographs of landmarks of {city}, found by their names on Flickr.",
        images=f"{database:,} photographs, most 1024 pixels long, colour, and those that the queries are cut from",
        classes="none: for each query lists of easy, hard and junk images of its landmark",
        splits=f"medium, which {name} alone means: easy and hard views answer, junk is not ranked; easy: easy ones "
        "answer, hard ones and junk are not ranked; hard: hard ones answer, easy ones and junk are not ranked; "
        "medium_1m: as medium, easy_1m: as easy, hard_1m: as hard, with the 1,001,001 distractors of revisitop1m/ "
        f"beside this folder. 70 queries, each the box of a landmark cut out of a picture, ask {database:,} pictures; "
        "nothing to learn from; auto is given; its papers' mAP is map_trapezoid; what its papers call mP@k is mp@k "
        "here, at k = 1, 5, 10 without -k",
        licence="none stated; the photographs are those of Flickr's users",
        source="Radenović et al. 2018, http://cmp.felk.cvut.cz/revisitop; no checksum; upstream's README says 1M "
        "distractors, the exact number is from others who list them",
        problems="faces are blurred in copies made since June 2022, which moves figures slightly; 70 queries are few",
    )


def published(database: int) -> dict[str, dict[str, int]]:
    """Return how many images each variant has."""
    return {
        f"{one}{more}": {"query": QUERIES, "gallery": database + (DISTRACTORS if more else 0)}
        for more in ("", "_1m")
        for one in ("medium", "easy", "hard")
    }


def load_revisited(
    benchmark: Benchmark,
    place: DataPlace,
    counts: Mapping[str, Mapping[str, int]],
    variant: Variant,
    resize: ResizeMode,
) -> Collection:
    """Return one of the two at a difficulty. Raises DataError for a ground truth that is not theirs."""
    home = benchmark.home(place)
    source = home / f"gnd_{benchmark.name}.pkl"
    names, asked, truth = _ground_truth(source)
    difficulty, _, more = variant.partition("_")
    gallery: list[tuple[Source, str, str]] = [(path, LABEL, name) for path, name in _pictures(home, names, source)]
    if more:
        gallery += _distractors(home.parent / ALL)
    boxes = [_box(source, row, one) for row, one in enumerate(truth)]
    query = [
        (Crop(path, box), LABEL, name) for (path, name), box in zip(_pictures(home, asked, source), boxes, strict=True)
    ]
    relevance = Relevance.revisited([_lists(source, row, one) for row, one in enumerate(truth)], names, difficulty)
    parts = {"query": replace(Part.of(query), relevance=relevance), "gallery": Part.of(gallery)}
    return benchmark.collect(home, place, parts, resize=resize, published=counts[variant], variant=variant)


def _ground_truth(source: Path) -> tuple[list[str], list[str], list[dict[str, Any]]]:
    """Return the names of the database's pictures and of the queries', and what answers each query."""
    try:
        content = source.read_bytes()
    except OSError as error:
        raise DataError(f"{source}: cannot be read ({error.strerror or error})") from error
    found = read_pickled(content, source)
    lists = [found.get(name) for name in ("imlist", "qimlist", "gnd")]
    kinds = (str, str, dict)
    fits = [
        isinstance(one, list) and all(isinstance(each, kind) for each in one)
        for one, kind in zip(lists, kinds, strict=True)
    ]
    names, asked, truth = lists
    if names is None or asked is None or truth is None or not all(fits):
        raise DataError(f"{source}: not lists called imlist, qimlist and gnd; it is another data set's file")
    if len(asked) != len(truth):
        raise DataError(f"{source}: {len(asked)} queries, but answers of {len(truth)}; it is not the whole file")
    return names, asked, truth


def _pictures(home: Path, names: list[str], source: Path) -> Iterator[tuple[str, str]]:
    for number, name in enumerate(names, start=1):
        yield listed_picture(home / "jpg", f"{name}.jpg", source, number), name


def _box(source: Path, row: int, truth: Mapping[str, Any]) -> Box:
    """Return a query's box in whole pixels, rounded as Pillow's crop does, by which it is cut upstream."""
    try:
        left, top, right, bottom = (round(float(one)) for one in truth["bbx"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{source}: query {row}: its bbx is not four numbers; it is another data set's file") from error
    return left, top, right, bottom


def _lists(source: Path, row: int, truth: Mapping[str, Any]) -> dict[str, list[int]]:
    """Return a query's lists as whole numbers."""
    found = {}
    for kind in ("easy", "hard", "junk"):
        if kind in truth:
            numbers = np.asarray(truth[kind])
            if numbers.ndim != 1 or (numbers.size and numbers.dtype.kind not in "iu"):
                raise DataError(f"{source}: query {row}: its {kind} is not a list of whole numbers")
            found[kind] = [int(one) for one in numbers]
    return found


def _distractors(folder: Path) -> Iterator[tuple[Source, str, str]]:
    source = folder / f"{ALL}.txt"
    for line, (inner,) in rows(source, 1):
        yield listed_picture(folder / "jpg", inner, source, line), LABEL, f"{ALL}/{inner}"
