"""In which order time is spent, and what gets no more of it: with runs that are only pretended, and their clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bench.choose.climb import Climb
from bench.choose.rungs import Rung, rungs
from bench.suites.cost_model import Prediction


@dataclass(eq=False)
class Run:
    """What stands for the record of a run: nothing looks into it but the workshop."""

    folder: Path
    rung: str


@dataclass
class Pretended:
    """A workshop with its own clock. seconds: fixed and per epoch, by the rung's words; best: who is in question."""

    seconds: dict[str, tuple[float, float]]
    best: Sequence[str] = ()
    fails: dict[str, str] = field(default_factory=dict)
    clock: float = 0.0
    slow: float = 1.0  # times as long as predicted
    made: list[tuple[str, int, float]] = field(default_factory=list)

    def predict(self, rung: Rung, seed: int, seconds: float) -> Prediction:
        fixed, per_epoch = self.seconds[rung.words.partition(",")[0]]
        return Prediction(fixed, per_epoch, rung.epochs, source="trial")

    def run(self, rung: Rung, seed: int, expected: Prediction, seconds: float) -> Any:
        if rung.words in self.fails:
            return self.fails[rung.words]
        self.clock += min(self.slow * expected.seconds, seconds)
        self.made.append((rung.words, seed, rung.epochs))
        return Run(Path(f"{rung.words}/{seed}"), rung.words)

    def in_question(self, records: Sequence[Any]) -> Any:
        first = {record.rung: record for record in reversed(records)}
        return [first[words] for words in self.best if words in first]


FROZEN = Rung("frozen", "pretrained", learns=False)
HEAD, TUNED = Rung("head", "proxy_anchor"), Rung("tuned", "proxy_anchor")


def climbed(shop: Pretended, budget: float, *tried: Rung) -> Climb:
    climb = Climb(budget, shop, lambda line: None, lambda: shop.clock)
    climb.all(tried)
    return climb


def test_each_once_then_seeds_of_those_in_question_then_the_best_for_longer() -> None:
    shop = Pretended({"frozen": (10, 0), "head": (10, 10), "tuned": (10, 20)}, best=("tuned", "frozen"))
    climb = climbed(shop, 10_000, FROZEN, HEAD, TUNED)
    assert shop.made == [
        ("frozen", 0, 3.0), ("head", 0, 3.0), ("tuned", 0, 3.0),
        ("tuned", 1, 3.0), ("tuned", 2, 3.0), ("tuned, 3 times as long", 0, 9.0),
    ]  # fmt: skip
    assert climb.left_out == []


def test_training_is_cut_to_a_half_or_a_quarter_before_it_is_left_out() -> None:
    shop = Pretended({"frozen": (10, 0), "head": (0, 30), "tuned": (0, 1000)}, best=("head",))
    climb = climbed(shop, 70, FROZEN, HEAD, TUNED)
    assert shop.made == [("frozen", 0, 3.0), ("head", 0, 1.5)]
    assert [(one.rung.words, one.seed) for one in climb.left_out] == [
        ("tuned", 0), ("head", 1), ("head", 2), ("head, 3 times as long", 0),
    ]  # fmt: skip
    assert climb.left_out[0].need == pytest.approx(3000)


def test_with_no_time_left_nothing_is_even_predicted() -> None:
    shop = Pretended({"frozen": (80, 0)}, best=("frozen",), slow=2)
    climb = climbed(shop, 100, FROZEN, HEAD)  # a prediction of head would raise: its seconds are not known
    assert (shop.clock, [one.why for one in climb.left_out]) == (105, ["no time was left"])  # stopped at 5 % over
    shop = Pretended({"frozen": (99, 0)}, best=("frozen",))
    climb = climbed(shop, 100.5, FROZEN)
    assert climb.left_out[0].need == 99  # nine tenths of the time may be planned for


def test_what_fails_is_left_out_with_its_reason_and_the_others_go_on() -> None:
    shop = Pretended({"frozen": (1, 0), "head": (1, 1)}, best=("frozen",), fails={"head": "no training part"})
    climb = climbed(shop, 100, HEAD, FROZEN)
    assert (climb.left_out[0].why, climb.left_out[0].need) == ("no training part", None)
    assert [words for words, _, _ in shop.made] == ["frozen"]


def test_small_grey_pictures_are_tried_from_scratch_before_a_large_network_is_tuned() -> None:
    large, plain = rungs(plain=False), rungs(plain=True)
    for tried in (large, plain):  # the cheapest first
        assert [one.method for one in tried[:5]] == ["pixels", "pretrained", "lda", "proxy_anchor", "softmax"]
    assert plain[6].method == "triplet"
    assert "tuned_stages" in plain[7].options
    assert "tuned_stages" in large[5].options
    assert {one.words for one in large} == {one.words for one in plain}


def test_without_labels_only_what_needs_none_is_tried() -> None:
    assert {one.method for one in rungs(plain=False, labels="none")} == {"pixels", "hog", "pretrained"}


def test_with_few_labels_no_network_is_trained() -> None:
    learning = [one for one in rungs(plain=False, labels="few") if one.learns]
    assert learning
    assert all(one.options["freeze_fraction"] == 1 and "tuned_stages" not in one.options for one in learning)


def test_a_limit_of_bytes_decides_the_dimensions_of_every_vector() -> None:
    found = rungs(plain=False, most_bytes=256)
    assert {one.method: one.options.get("pca") for one in found}["pretrained"] == 64
    assert all(one.options["embedding_dim"] == 64 for one in found if one.learns)
    assert "pixels" not in {one.method for one in found}  # as many dimensions as pixels
    assert all("embedding_dim" not in one.options for one in rungs(plain=False, most_bytes=512))
