"""Changed copies of pictures without labels: ranks against plain arithmetic, and what is said of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy.stats import binomtest

from bench.choose import copies
from bench.choose.copies import KINDS, CopiesFound, find_copies_by
from bench.choose.copies_text import HEADS, PRIOR, copies_facts, copies_in_words, copies_rows, copies_sentences
from bench.choose.proxies import consistency
from bench.choose.rungs import Rung
from bench.contract import DataError, Workplace
from bench.evaluation.corruptions import corrupt

PIXELS = Rung("the pixels", "pixels", {"center": False, "size": 8}, learns=False)
RANDOM = Rung("chance", "random", {"size": 8}, learns=False)


def no_bar(items: Iterable[Any], *, total: int, what: str) -> Iterable[Any]:
    return items


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve smooth pictures of 8x8, one of them twice."""
    monkeypatch.setattr(copies, "_SECONDS", 0.01)
    root = tmp_path / "flat"
    root.mkdir()
    rng = np.random.default_rng(0)
    for number in range(12):
        coarse = rng.integers(90, 160, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(np.kron(coarse, np.ones((2, 2, 1), np.uint8))).save(root / f"{number}.png")
    (root / "12.png").write_bytes((root / "0.png").read_bytes())
    return root


def found_in(folder: Path, *rungs: Rung, budget: float = 100, **options: Any) -> CopiesFound:
    place = Workplace(folder.parent / "cache", torch.device("cpu"), 1, no_bar, lambda line: None)
    return find_copies_by(rungs, folder, place, lambda name: {}, budget=budget, **options)


def test_hits_and_ranks_are_those_of_plain_arithmetic(folder: Path) -> None:
    found = found_in(folder, PIXELS)
    (one,) = found.methods
    names = [f"{number}.png" for number in range(13)]
    pixels = np.stack([np.asarray(Image.open(folder / name)) for name in names])
    flat = (pixels / 255).reshape(13, -1)
    items = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    for kind, severity in KINDS.items():
        asked = (corrupt(pixels, np.array(names), kind, severity) / 255).reshape(13, -1)
        scores = (asked / np.linalg.norm(asked, axis=1, keepdims=True)) @ items.T
        ranks = []
        for row in range(13):
            same = {0, 12} if row in (0, 12) else {row}
            own = max(scores[row, other] for other in same)
            ranks.append(1 + sum(scores[row, other] > own for other in range(13) if other not in same))
        np.testing.assert_allclose(one.reciprocal[kind], 1 / np.array(ranks), err_msg=kind)
        np.testing.assert_array_equal(one.hits[kind], np.array(ranks) == 1)
    assert (found.pictures, found.asked, found.twice) == (13, 13, 2)


def test_consistency_is_the_silhouette_of_a_copy_with_its_original() -> None:
    copies_, items = np.array([[1, 0]], np.float32), np.array([[0.8, 0.6], [0.6, 0.8], [0, 1]], np.float32)
    same, groups = np.array([0]), np.array([0, 1, 2])
    assert consistency(copies_, same, items, groups) == pytest.approx([(0.4 - 0.2) / 0.4])
    assert consistency(copies_, same + 1, items, groups) == pytest.approx([(0.2 - 0.4) / 0.4])
    assert consistency(copies_, same, items, np.array([0, 0, 1])) == pytest.approx([(1 - 0.2) / 1])


def test_the_best_comes_first_with_intervals_and_costs_of_every_method(folder: Path) -> None:
    found = found_in(folder, RANDOM, PIXELS)
    assert found.methods[0].merit.mean() >= found.methods[1].merit.mean()
    assert len(found.against) == 1
    rows = copies_rows(found)
    assert [row[1] for row in rows] == [*KINDS, *KINDS]
    hits = found.methods[0].hits["crop"]
    exact = binomtest(int(hits.sum()), 13).proportion_ci(method="exact")
    assert rows[0][HEADS.index("95 %")] == f"{exact.low:.3f} to {exact.high:.3f}"
    assert rows[0][HEADS.index("bytes")] == f"{4 * found.methods[0].dimensions:,}"
    said = dict(copies_sentences(found))
    assert found.methods[0].name in said["Copies"]
    assert "not whether two pictures show one kind of thing" in said["Limits"]
    assert "They disagree" in said["Together"]
    assert "2 lie there more than once" in copies_in_words(found)
    assert json.loads(json.dumps(copies_facts(found)))["asked"] == 13


def test_a_second_start_keeps_the_pictures_vectors(folder: Path) -> None:
    first, second = found_in(folder, PIXELS), found_in(folder, PIXELS, asked=5)
    assert (first.asked, second.asked) == (13, 5)
    assert len(list((folder.parent / "cache" / "galleries").glob("*.safetensors"))) == 1


def test_with_no_time_left_the_others_are_left_out_with_the_reason(folder: Path) -> None:
    found = found_in(folder, PIXELS, RANDOM, budget=0)
    assert [(rung.method, why) for rung, why in found.left_out] == [("random", "no time was left (--budget)")]
    assert "only" not in dict(copies_sentences(found))["Copies"]


def test_pictures_that_are_all_one_are_refused(tmp_path: Path, folder: Path) -> None:
    for number in range(2, 12):
        (folder / f"{number}.png").unlink()
    with pytest.raises(DataError, match="copies need three to tell"):
        found_in(folder, PIXELS)


def test_the_prior_is_what_was_published(checkout: Path) -> None:
    runs = pd.read_csv(checkout / "results" / "photographs" / "runs.csv")
    for title, dataset in (("81 groceries", "grocery"), ("cats and dogs", "cats-dogs")):
        rows = runs[(runs.dataset == dataset) & (runs.protocol == "loo") & runs.method.isin(list(PRIOR[title]))]
        assert rows.groupby("method").map.mean().round(3).to_dict() == PRIOR[title]
