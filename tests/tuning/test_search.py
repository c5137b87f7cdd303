"""Tuning is fair: as many trials for each method, scored on validation alone, and a kill changes nothing."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bench import registry
from bench.config import Config, Settings, load_config
from bench.contract import DataError, Dataset, Images, SimbenchError, Split, UsageError, Workplace
from bench.registry import get_protocol
from bench.tuning.optuna_study import Study
from bench.tuning.search import Tuned, plan_tunings, tune
from bench.tuning.write import save_section, save_trials, section

pytest.importorskip("optuna")

METHODS = '''
"""Floors with something to tune, and ways to fail."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench import method, tunable


@method
@dataclass
class {name}:
    power: float = tunable(3.0, low=0.1, high=4.0, log=True)
    step: int = tunable(1, low=1, high=4)
    kind: Literal["mean", "all"] = tunable("mean", choices=("mean", "all"))
    goal: float | None = tunable(None, choices=(None, 0.5))
    limit: float = 4.0

    def fit(self, train, validation, run):
        if self.power > self.limit:
            raise RuntimeError("diverged")
        if (folder := os.environ.get("FITS")) is not None:
            with Path(folder).open("a") as file:
                file.write(f"{{self.power}} {{self.step}} {{self.kind}} {{self.goal}}\\n")
            if Path(folder).read_text().count("\\n") in map(int, os.environ.get("INTERRUPT_AT", "").split()):
                raise KeyboardInterrupt

    def embed(self, pixels):
        raised = pixels[:, :, :: self.step].pow(self.power)
        return (raised.mean(dim=2) if self.kind == "mean" else raised).flatten(1) + 1e-6
'''


@pytest.fixture
def _methods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installed package of somebody else's that brings the methods ``dial`` and ``knob``."""
    site = tmp_path / "site"
    info = site / "tunables-1.0.dist-info"
    info.mkdir(parents=True)
    for name in ("dial", "knob"):
        (site / f"tunable_{name}.py").write_text(METHODS.format(name=name.title()), encoding="utf-8")
        sys.modules.pop(f"tunable_{name}", None)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tunables\nVersion: 1.0\nSummary: Tunable\n")
    (info / "entry_points.txt").write_text("[simbench.methods]\ndial = tunable_dial\nknob = tunable_knob\n")
    monkeypatch.syspath_prepend(str(site))
    registry._entry_points.cache_clear()
    yield
    registry._entry_points.cache_clear()


pytestmark = pytest.mark.usefixtures("_methods")


class Sealed(Images):
    """Images that nobody may look at."""

    def take(self, index: object) -> NDArray[np.uint8]:
        raise RuntimeError("the test part was read")

    def subset(self, index: object) -> Images:
        raise RuntimeError("the test part was cut")


def a_split(count: int, seed: int, images: Callable[[NDArray[np.uint8]], Images] = Images) -> Split:
    rng = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int64) % 3
    pixels = rng.integers(0, 200, (count, 8, 8, 1)) + 25 * labels[:, None, None, None]
    return Split(images(pixels.astype(np.uint8)), labels, np.array([f"{seed}/{n}" for n in range(count)], np.str_))


@pytest.fixture
def data() -> Dataset:
    """Three classes of noise, and a query and a gallery that raise when they are read."""
    test = a_split(30, 2, Sealed)
    return Dataset(
        "noise", get_protocol("loo"), ("a", "b", "c"), a_split(30, 0), a_split(30, 1), test, test, False, "abc"
    )


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    def bar(items: Iterable[Any], *, total: int, what: str) -> Iterable[Any]:
        return items

    return Workplace(tmp_path / "runs", torch.device("cpu"), 1, bar, lambda line: None)


@pytest.fixture
def tuned(data: Dataset, place: Workplace, tmp_path: Path) -> Callable[..., list[Tuned]]:
    """Return a function that tunes methods on the sealed data."""

    def act(*methods: str, trials: int = 8, words: tuple[str, ...] = (), folder: str = "study") -> list[Tuned]:
        plans = plan_tunings(methods, data, Config(Settings(epochs=1)), words, "cpu", trials=trials)
        return [tune(plan, data, place, tmp_path / folder) for plan in plans]

    return act


def tried(found: Tuned) -> list[tuple[dict[str, Any], float]]:
    return [(dict(trial.values), trial.score) for trial in found.trials]


def test_query_and_gallery_are_never_read(tuned: Callable[..., list[Tuned]]) -> None:
    (found,) = tuned("dial")
    assert [trial.problem for trial in found.trials] == [""] * 8  # what the sealed images raise would be told here


def test_every_method_gets_the_same_number_of_trials_and_its_defaults_first(tuned: Callable[..., list[Tuned]]) -> None:
    dial, knob = tuned("dial", "knob", trials=7)
    assert len(dial.trials) == len(knob.trials) == 7
    assert dial.default.values == {"power": 3.0, "step": 1, "kind": "mean", "goal": None}
    assert tried(dial) == tried(knob)  # the search knows no names
    assert dial.best.score >= dial.default.score


def test_what_is_tried_lies_in_its_range_and_has_three_digits(tuned: Callable[..., list[Tuned]]) -> None:
    (found,) = tuned("dial", trials=12)
    for trial in found.trials:
        assert 0.1 <= trial.values["power"] <= 4.0
        assert trial.values["power"] == float(f"{trial.values['power']:.3g}")
        assert trial.values["step"] in (1, 2, 3, 4)
    assert len({str(trial.values) for trial in found.trials}) == 12


def test_a_study_that_stops_and_goes_on_tries_what_an_uninterrupted_one_tries(
    tuned: Callable[..., list[Tuned]],
) -> None:
    (whole,) = tuned("dial", trials=9, folder="whole")
    tuned("dial", trials=2)
    tuned("dial", trials=7)
    (rest,) = tuned("dial", trials=9)
    assert tried(rest) == tried(whole)
    (fewer,) = tuned("dial", trials=4)  # the others wait for another day; fairness counts the first four
    assert tried(fewer) == tried(whole)[:4]


def test_interrupts_at_the_first_and_at_later_trials_cost_their_trial_only(
    tuned: Callable[..., list[Tuned]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (whole,) = tuned("dial", trials=5, folder="whole")
    monkeypatch.setenv("FITS", str(tmp_path / "fits"))
    monkeypatch.setenv("INTERRUPT_AT", "1 2 5")
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            tuned("dial", trials=5)
    (rest,) = tuned("dial", trials=5)
    assert tried(rest) == tried(whole)
    fits = (tmp_path / "fits").read_text().splitlines()
    assert len(fits) == 5 + 3
    assert fits[0] == fits[1] == fits[2]  # the defaults, until they came through
    assert fits[4] == fits[5]


def test_an_option_that_is_given_is_kept_and_not_searched(tuned: Callable[..., list[Tuned]]) -> None:
    (found,) = tuned("dial", words=("power=0.5",))
    assert all(set(trial.values) == {"step", "kind", "goal"} for trial in found.trials)
    assert found.options["power"] == 0.5


def test_a_trial_that_fails_counts_scores_0_and_says_why(tuned: Callable[..., list[Tuned]]) -> None:
    (found,) = tuned("dial", trials=10, words=("limit=3.0",))
    failed = [trial for trial in found.trials if trial.values["power"] > 3.0]
    assert failed
    assert all(trial.score == 0 and trial.problem == "RuntimeError: diverged" for trial in failed)
    assert len(found.trials) == 10
    with pytest.raises(SimbenchError, match="dial: every trial failed, the first with: RuntimeError: diverged"):
        tuned("dial", trials=3, words=("limit=0",))


@pytest.mark.parametrize(
    ("methods", "words", "asked", "complaint"),
    [
        (("pixels",), (), {}, "method pixels has no tunable option"),
        (("dial",), ("power=1", "step=1", "kind=all", "goal=none"), {}, "sets every tunable option"),
        (("dial", "knob"), (), {}, "give --budget or --epochs"),
        (("dial",), (), {"seeds": (0, 1)}, "one seed"),
        (("dial",), (), {"trials": 0}, "trials must be 1 or more"),
    ],
)
def test_what_cannot_be_tuned_fairly_is_refused(
    data: Dataset, methods: tuple[str, ...], words: tuple[str, ...], asked: dict[str, Any], complaint: str
) -> None:
    trials = asked.pop("trials", 3)
    with pytest.raises(UsageError, match=complaint):
        plan_tunings(methods, data, Config(Settings(**asked)), words, "cpu", trials=trials)


def test_data_without_a_validation_split_to_rank_is_refused(data: Dataset) -> None:
    alone = replace(data, validation=data.train.subset(np.array([0, 1, 2], np.int64)))
    none = replace(data, validation=data.train.subset(np.array([], np.int64)))
    for broken in (alone, none):
        with pytest.raises(DataError, match="no two images of one class"):
            plan_tunings(("dial",), broken, Config(Settings()), (), "cpu", trials=3)


def test_a_file_that_holds_no_trials_is_told(tmp_path: Path) -> None:
    (tmp_path / "trials.db").write_bytes(b"no database" * 1000)
    with pytest.raises(SimbenchError, match=r"cannot read the trials in .*trials\.db: .*delete it"):
        Study(tmp_path / "trials.db", {}, {}, 0)


# ------------------------------------------------------------------------------------------------ files


def test_the_section_comes_back_as_the_options_that_were_best(
    tuned: Callable[..., list[Tuned]], tmp_path: Path
) -> None:
    (found,) = tuned("dial", trials=4)
    path = tmp_path / "tuned.toml"
    assert save_section(path, found) == section(found) == path.read_text()
    given = load_config(path).methods["dial"]
    assert {**given, "goal": None if given["goal"] == "none" else given["goal"]} == found.options
    first, second = section(found).splitlines()[:2]
    assert f"validation map {found.best.score:.4f}, defaults {found.default.score:.4f}" in first
    assert second.startswith("# 4 trials of 1 epochs, seed 0; simbench ")


def test_a_method_s_old_section_is_replaced_and_every_other_line_stays(
    tuned: Callable[..., list[Tuned]], tmp_path: Path
) -> None:
    dial, knob = tuned("dial", "knob", trials=3)
    path = tmp_path / "tuned.toml"
    mine = "# mine\n[run]\nseeds = [0, 1]\n\n"
    other = "# why pixels\n[methods.pixels] # kept\ncenter = true\n"
    path.write_text(f"{mine}# old\n[methods.dial]\npower = 1.0\n\n{other}", encoding="utf-8")
    save_section(path, dial)
    assert path.read_text() == f"{mine}{section(dial)}\n{other}"
    save_section(path, knob)
    save_section(path, dial)
    assert path.read_text() == f"{mine}{section(dial)}\n{other}\n{section(knob)}"
    assert load_config(path).settings.seeds == (0, 1)


@pytest.mark.parametrize("text", ['[methods."dial"]\npower = 1.0\n', "[methods]\ndial = { power = 1.0 }\n"])
def test_a_section_in_another_form_is_left_alone_and_told(
    tuned: Callable[..., list[Tuned]], tmp_path: Path, text: str
) -> None:
    (found,) = tuned("dial", trials=2)
    path = tmp_path / "tuned.toml"
    path.write_text(text)
    with pytest.raises(SimbenchError, match=r"cannot replace \[methods\.dial\]"):
        save_section(path, found)
    assert path.read_text() == text


def test_words_with_quotes_and_lists_survive_the_file(tuned: Callable[..., list[Tuned]]) -> None:
    (found,) = tuned("dial", trials=1)
    odd = {"text": 'a "b" \\ \n ü', "list": [1, 2.5e-7, True], "small": 1e-05, "whole": 3}
    again = Tuned(replace(found.plan, fixed=odd), found.trials)
    parsed = tomllib.loads(section(again))["methods"]["dial"]
    assert {name: parsed[name] for name in odd} == odd


def test_the_table_has_every_trial_with_its_options(tuned: Callable[..., list[Tuned]], tmp_path: Path) -> None:
    (found,) = tuned("dial", trials=3)
    save_trials(tmp_path / "trials.csv", found)
    lines = (tmp_path / "trials.csv").read_text().splitlines()
    assert lines[0] == "trial,validation_map,seconds,problem,power,step,kind,goal"
    assert [line.split(",")[0] for line in lines[1:]] == ["0", "1", "2"]
