"""scikit-learn's digits: 1,797 grey 8x8 pictures of handwritten digits; small, and always there.

The test part of "Optical Recognition of Handwritten Digits", Alpaydin and Kaynak 1998, UCI repository; CC BY 4.0.
It has no split of its own, so that half of each class, chosen with seed 0, is the test part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench import Collection, DataPlace, Images, Split, dataset
from bench.contract import Card
from bench.data.splits.splits import stratified_cut

BRIGHTEST = 16  # each pixel counts the inked dots of a 4x4 block
SEED = 0  # of the half that is the test part


@dataset
@dataclass(frozen=True)
class Digits:
    """No options."""

    card: ClassVar[Card] = Card(
        what="Handwritten digits, very small; always there, for tests and first tries.",
        images="1,797 of 8x8, grey",
        classes="10 digits, 174 to 183 of each",
        splits="none upstream; half of each class, chosen with seed 0, is the test part",
        licence="CC BY 4.0",
        source="Alpaydin and Kaynak 1998, https://archive.ics.uci.edu/dataset/80, the test part, from scikit-learn",
        problems="both halves hold digits of the same writers; a mirrored digit is not the same",
    )

    def load(self, place: DataPlace) -> Collection:
        from sklearn.datasets import load_digits  # noqa: PLC0415 - costs a second, and only here

        bunch = load_digits()
        pixels = np.round(bunch.images * (255 / BRIGHTEST)).astype(np.uint8)[..., np.newaxis]
        pixels.flags.writeable = False
        ids = np.array([f"{number:04d}" for number in range(len(pixels))], np.str_)  # the row in scikit-learn's file
        whole = Split(Images(pixels), bunch.target.astype(np.int64), ids)
        train, test = stratified_cut(whole.labels, 0.5, SEED)
        classes = tuple(str(name) for name in bunch.target_names)
        return Collection("digits", classes, train=whole.subset(train), test=whole.subset(test))
