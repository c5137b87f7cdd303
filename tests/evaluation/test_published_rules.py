"""The rules of revisited Oxford and Paris and of Market-1501, against slow versions of their own programs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from without_intervals import evaluate_values

from bench import DataError, Relevance, UsageError

CASES = 300
OF_EACH = CASES // 3  # difficulty
KS = (1, 5, 10)
EXTRA = ("map_trapezoid", "minp", "mp@k")
Vectors = NDArray[np.float64]


def vectors_of(rng: np.random.Generator, count: int) -> Vectors:
    return rng.standard_normal((count, 6))


def revisited_map(
    order: list[list[int]], truth: list[dict[str, list[int]]], difficulty: str
) -> tuple[list[float], dict[int, list[float]]]:
    """What the benchmark's program works out of full rankings, in its own steps: AP and P@k of every query, NaN where
    nothing answers it."""
    precisions: list[float] = []
    at: dict[int, list[float]] = {k: [] for k in KS}
    for ranked, lists in zip(order, truth, strict=True):
        answer = {"easy": lists["easy"], "medium": lists["easy"] + lists["hard"], "hard": lists["hard"]}[difficulty]
        junk = set(lists["easy"] + lists["hard"] + lists["junk"]) - set(answer)
        positions = [place for place, item in enumerate(ranked) if item in answer]
        passed = [place for place, item in enumerate(ranked) if item in junk]
        positions = [place - sum(other < place for other in passed) for place in positions]
        if not positions:
            precisions.append(np.nan)
            for k in KS:
                at[k].append(np.nan)
            continue
        area = 0.0
        for found, rank in enumerate(positions):
            before = 1.0 if rank == 0 else found / rank
            area += (before + (found + 1) / (rank + 1)) / 2 / len(positions)
        precisions.append(area)
        for k in KS:
            least = min(max(place + 1 for place in positions), k)
            at[k].append(sum(place + 1 <= least for place in positions) / least)
    return precisions, at


@pytest.mark.parametrize("difficulty", ["easy", "medium", "hard"])
def test_revisited_oxford_and_paris_are_scored_as_by_their_program(difficulty: str) -> None:
    for seed in range(OF_EACH):
        rng = np.random.default_rng(seed)
        q, n = int(rng.integers(1, 5)), int(rng.integers(6, 40))
        names = [f"all_souls_{row:06}" for row in range(n)]
        kinds = rng.choice(4, size=(q, n), p=rng.dirichlet([1, 1, 1, 3]))
        kinds[0, :3] = (0, 1, 2)
        truth = [
            {kind: np.flatnonzero(line == number).tolist() for number, kind in enumerate(("easy", "hard", "junk"))}
            for line in kinds
        ]
        query, gallery = vectors_of(rng, q), vectors_of(rng, n)
        order = np.argsort(-(query @ gallery.T), axis=1).tolist()
        asked = Relevance.revisited(truth, names, difficulty)
        found = evaluate_values(
            query, None, gallery, None, positives=asked.positives, ignore=asked.ignored, normalize=False, ks=KS,
            query_ids=[f"asked {row}" for row in range(q)], gallery_ids=names, metrics=EXTRA, threads=1,
        )  # fmt: skip
        precisions, at = revisited_map(order, truth, difficulty)
        np.testing.assert_allclose(found.per_query["map_trapezoid"], precisions, atol=1e-12)
        for k in KS:
            np.testing.assert_allclose(found.per_query[f"mp@{k}"], at[k], atol=1e-12)
        assert found.scores["map_trapezoid"] == pytest.approx(np.nanmean(precisions))
        assert found.scores["queries_without_relevant"] == np.isnan(precisions).sum()


def market_scores(
    ranked: list[int], person: int, camera: int, people: list[int], cameras: list[int]
) -> dict[str, float] | None:
    """What re-identification programs work out of one query: both forms of AP, CMC and INP; None where none is good."""
    good = [i for i in ranked if people[i] == person and cameras[i] != camera]
    junk = {i for i in ranked if people[i] == -1 or (people[i] == person and cameras[i] == camera)}
    if not good:
        return None
    kept = [i for i in ranked if i not in junk]
    hits = [i in good for i in kept]
    rough = sum((sum(hits[: j + 1])) / (j + 1) for j, hit in enumerate(hits) if hit) / len(good)
    area, recall, precision, seen = 0.0, 0.0, 1.0, 0
    for j, hit in enumerate(hits):  # the MATLAB program's loop
        seen += hit
        new_recall, new_precision = seen / len(good), seen / (j + 1)
        area += (new_recall - recall) * (precision + new_precision) / 2
        recall, precision = new_recall, new_precision
    last = max(j for j, hit in enumerate(hits) if hit) + 1
    return {"map": rough, "map_trapezoid": area, "minp": len(good) / last} | {
        f"hit@{k}": float(any(hits[:k])) for k in KS
    }


def test_market_1501_is_scored_as_by_its_programs_in_both_forms() -> None:
    for seed in range(CASES):
        rng = np.random.default_rng(seed)
        q, n = int(rng.integers(1, 5)), int(rng.integers(6, 40))
        people, cameras = rng.integers(-1, 4, n), rng.integers(1, 4, n)
        asked, shot = rng.integers(1, 4, q), rng.integers(1, 4, q)
        people[0], cameras[0] = asked[0], shot[0] % 3 + 1
        query, gallery = vectors_of(rng, q), vectors_of(rng, n)
        order = np.argsort(-(query @ gallery.T), axis=1).tolist()
        junk = np.flatnonzero(people == -1).tolist()
        found = evaluate_values(
            query, asked, gallery, people, query_groups=shot, gallery_groups=cameras, ignore=[junk] * q,
            normalize=False, ks=KS, metrics=EXTRA, threads=1,
        )  # fmt: skip
        for row in range(q):
            one = market_scores(order[row], asked[row], shot[row], people.tolist(), cameras.tolist())
            for name in ("map", "map_trapezoid", "minp", *(f"hit@{k}" for k in KS)):
                expected = np.nan if one is None else one[name]
                assert found.per_query[name][row] == pytest.approx(expected, abs=1e-12, nan_ok=True), (seed, row, name)


@pytest.mark.parametrize(
    ("truth", "difficulty", "error", "said"),
    [
        ({"easy": [0], "hard": [], "junk": []}, "middle", UsageError, "unknown difficulty 'middle'"),
        ({"easy": [0], "hard": []}, "easy", DataError, "ground truth of query 0: no list 'junk'"),
        ({"easy": [0], "hard": [2], "junk": []}, "easy", DataError, "query 0: hard has 2, but there are 2 images"),
    ],
)
def test_a_ground_truth_that_does_not_fit_is_refused(
    truth: dict[str, Any], difficulty: str, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        Relevance.revisited([truth], ["a", "b"], difficulty)


def test_a_metric_that_cannot_be_asked_for_is_refused_with_the_likeliest() -> None:
    with pytest.raises(UsageError, match=r"no metric to ask for: 'minpp'.*minp"):
        evaluate_values(np.eye(2), [0, 0], np.eye(2), [0, 0], metrics=["minpp"])


@pytest.mark.parametrize("published", ["84.81", "64.67", "38.47", "92.12", "77.20", "56.32"])
def test_rankings_with_a_published_map_of_revisited_sets_print_it(published: str) -> None:
    rng = np.random.default_rng(5)
    q, n, answers = 70, 60, 6
    truth = [{"easy": list(range(answers)), "hard": [], "junk": [answers, answers + 1]} for _ in range(q)]

    def drawn() -> list[int]:  # answers first, but for a chance error of any size
        late = rng.exponential(10.0 ** rng.uniform(-1, 2.5), n) * (np.arange(n) < answers)
        ranked: list[int] = np.argsort(np.arange(n) + late).tolist()
        return ranked

    order = [drawn() for _ in range(q)]
    slow = revisited_map(order, truth, "easy")[0]
    while f"{100 * np.mean(slow):.2f}" != published:  # what brings the mean nearer stays
        row, one = int(rng.integers(q)), drawn()
        changed = [*slow[:row], revisited_map([one], truth[:1], "easy")[0][0], *slow[row + 1 :]]
        if abs(np.mean(changed) - float(published) / 100) < abs(np.mean(slow) - float(published) / 100):
            slow, order[row] = changed, one
    scores = np.empty((n, q), np.float64)
    for row, ranked in enumerate(order):
        scores[ranked, row] = np.arange(n, 0, -1)
    names = [f"all_souls_{row:06}" for row in range(n)]
    asked = Relevance.revisited(truth, names, "easy")
    found = evaluate_values(
        np.eye(q), None, scores, None, positives=asked.positives, ignore=asked.ignored, normalize=False, ks=KS,
        query_ids=[f"asked {row}" for row in range(q)], gallery_ids=names, metrics=EXTRA, threads=1,
    )  # fmt: skip
    assert f"{100 * found.scores['map_trapezoid']:.2f}" == published
    np.testing.assert_allclose(found.per_query["map_trapezoid"], slow, atol=1e-12)
