"""NAME:VARIANT and a table's NAME-VARIANT name a data set's variant; paths and prefixes are what they were."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.contract import UsageError
from bench.data.layouts.locate import plugin_of
from bench.runs.run_plan import loader_for

BIRDS = '''
"""Birds: two cuts of them."""

from dataclasses import dataclass
from typing import Literal

from bench import dataset


@dataset
@dataclass(frozen=True)
class Birds:
    variant: Literal["dml", "big_half"] = "dml"
    size: int = 3

    def load(self, place):
        raise NotImplementedError
'''


@pytest.fixture(autouse=True)
def _birds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A data set with variants, in a folder of the user's; tests run in another, empty one."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "rare_birds.py").write_text(BIRDS, encoding="utf-8")
    monkeypatch.setenv("SIMBENCH_DATASETS", str(tmp_path / "mine"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.mark.parametrize(
    ("word", "named"),
    [
        ("rare_birds", ("rare_birds", {})),
        ("Rare-Birds", ("rare_birds", {})),
        ("rare-birds:dml", ("rare_birds", {"variant": "dml"})),
        ("rare_birds:BIG-half", ("rare_birds", {"variant": "big_half"})),
        ("rare-birds-big-half", ("rare_birds", {"variant": "big_half"})),
        ("hf:digits/dml", ("hf", {"name": "digits/dml"})),
        ("torchvision:CIFAR10", ("torchvision_set", {"name": "CIFAR10"})),
        ("rare_birds:dml/train", None),
        (r"rare_birds:\dml", None),
        (r"C:\rare_birds", None),
        ("owls:dml", None),
        ("rare_birds-huge", None),
    ],
)
def test_a_word_names_a_data_set_and_a_variant_or_is_left_to_paths(
    word: str, named: tuple[str, dict[str, str]] | None
) -> None:
    assert plugin_of(word) == named


@pytest.mark.parametrize(
    ("word", "told"),
    [
        (
            "rare_birds:dlm",
            r"^data set rare_birds has no variant 'dlm'; did you mean 'dml'\? \(it has: dml, big_half\)$",
        ),
        ("rare-birds:", r"^data set rare_birds has no variant '' \(it has: dml, big_half\)$"),
        ("digits:dml", r"^data set digits has no variant 'dml' \(it has none\)$"),
        ("owls:dml", r"^unknown data set 'owls:dml'"),
    ],
)
def test_an_unknown_variant_is_one_line_with_the_nearest_known_one(word: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        loader_for(word, {})


def test_a_folder_of_the_users_with_a_colon_in_its_name_is_a_path(tmp_path: Path) -> None:
    for name in ("digits:old", "rare_birds:mine"):
        (tmp_path / "here" / name / "robin").mkdir(parents=True)
        assert plugin_of(name) is None
        assert type(loader_for(name, {})).__name__ == "Folder"


def test_the_words_variant_outranks_the_configuration_which_keeps_the_other_options() -> None:
    said = {"rare_birds": {"variant": "big_half", "size": 5}}
    assert vars(loader_for("rare_birds", said)) == {"variant": "big_half", "size": 5}
    assert vars(loader_for("rare_birds:dml", said)) == {"variant": "dml", "size": 5}
    assert vars(loader_for("rare-birds-dml", said)) == {"variant": "dml", "size": 5}
