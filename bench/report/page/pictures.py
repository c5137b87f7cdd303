"""The pictures behind a table's queries and gallery, where its data set can be loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bench.report.page.arrays import Answers
from bench.report.page.thumbnails import Sheet, Tile

if TYPE_CHECKING:
    from bench.contract import Dataset


@dataclass(frozen=True)
class Pictures:
    """A data set's pictures by their row in query or gallery; each that is asked for gets a tile in the sheet."""

    dataset: Dataset
    sheet: Sheet

    def query(self, row: int) -> Tile:
        part = self.dataset.query
        return self.sheet.add(str(part.ids[row]), part.images.take(slice(row, row + 1))[0])

    def item(self, row: int) -> Tile:
        part = self.dataset.gallery
        return self.sheet.add(str(part.ids[row]), part.images.take(slice(row, row + 1))[0])

    def fit(self, answers: Answers) -> bool:
        """Whether the rows of a run's answers are those of this data set."""
        asked, found = self.dataset.query.ids, self.dataset.gallery.ids
        return np.array_equal(asked, answers.ids) and np.array_equal(found, answers.gallery_ids)
