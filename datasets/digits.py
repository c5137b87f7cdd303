"""scikit-learn's digits: 1,797 grey 8x8 pictures of handwritten digits; small, and always there.

The test part of "Optical Recognition of Handwritten Digits", Alpaydin and Kaynak 1998, UCI repository; CC BY 4.0.
It has no split of its own, so that half of each class, chosen with seed 0, is the test part.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench import Collection, DataPlace, Images, Split, dataset
from bench.data.splits import stratified_cut

BRIGHTEST = 16  # each pixel counts the inked dots of a 4x4 block
SEED = 0  # of the half that is the test part


@dataset
@dataclass(frozen=True)
class Digits:
    """No options."""

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
