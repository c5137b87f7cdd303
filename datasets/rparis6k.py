"""Revisited Paris; rparis6k is rparis6k:medium, others :easy and :hard and :medium_1m and :easy_1m and :hard_1m.

Philbin, Chum, Isard, Sivic and Zisserman (CVPR 2007, 2008); asked anew by Radenović et al. (CVPR 2018).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from bench import Collection, DataPlace, dataset
from bench.contract import Card, ResizeMode

from ._revisited import Variant, card_of, load_revisited, published, revisited

BENCHMARK = revisited(
    "rparis6k",
    "paris_1-v1.tgz and paris_2-v1.tgz from https://www.robots.ox.ac.uk/~vgg/data/parisbuildings",
)
PUBLISHED = published(6_322)


@dataset
@dataclass(frozen=True)
class Rparis6k:
    """variant: which views answer; NAME:VARIANT is short for it. resize: as for a folder."""

    variant: Variant = "medium"
    resize: ResizeMode = "crop"

    card: ClassVar[Card] = card_of("Paris", "rparis6k", 6_322)

    def fetch(self, place: DataPlace) -> Path:
        return BENCHMARK.home(place)

    def load(self, place: DataPlace) -> Collection:
        return load_revisited(BENCHMARK, place, PUBLISHED, self.variant, self.resize)
