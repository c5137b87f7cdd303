"""Every published set has a card; the list and the page in docs/ show them as they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.cli.listing import listing
from bench.contract import Fetches, card_of
from bench.plugins import DATASET
from bench.registry import get_dataset, plugin_names

OWN = {"folder", "manifest", "hf", "torchvision_set"}  # any images: nothing can be said of them
PUBLISHED = [name for name in plugin_names(DATASET) if name not in OWN]


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_set_has_a_card_with_every_line_filled(name: str) -> None:
    card = card_of(get_dataset(name)())
    assert card is not None
    assert all(vars(card).values())
    assert "\n" not in "".join(vars(card).values())


@pytest.mark.parametrize("name", [name for name in PUBLISHED if name != "digits"])
def test_a_published_set_can_be_fetched(name: str) -> None:
    assert isinstance(get_dataset(name)(), Fetches)


def test_the_verbose_list_shows_the_cards() -> None:
    shown = CliRunner().invoke(listing, ["datasets", "-v"])
    assert shown.exit_code == 0, shown.output
    assert "licence   MIT" in shown.output
    assert "--set datasets.emnist.split=balanced" in shown.output
    assert "hf:<owner>/<name>" in shown.output


def test_the_page_in_docs_is_made_from_the_cards_as_they_are_now(checkout: Path) -> None:
    shown = CliRunner().invoke(listing, ["datasets", "--markdown"])
    page = (checkout / "docs" / "reference" / "datasets.md").read_text(encoding="utf-8")
    assert page == shown.output, "run: simbench list datasets --markdown > docs/reference/datasets.md"
