"""Your own images, listed in a CSV or Parquet or JSON file, with queries and gallery if you name them.

The CSV's columns are open-metric-learning's: path,label,split,is_query,is_gallery, the last two optional, with paths
relative to the CSV's folder; camera (or group), positives, gains and ignore say more of who answers whom. Another
layout is a folder with train/, query_images/ and gallery/, and with train_image_info.json and test_image_info.json,
which map file name to label; or one with UnED's lists of a domain (info_files/cars/test.json, ...). A Parquet file
holds the images themselves (column image), their label and, optionally, the CSV's other columns.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench import Collection, DataPlace, dataset
from bench.contract import ResizeMode
from bench.data.decoding.decode import DecodeRecipe
from bench.data.layouts.listing import collect
from bench.data.layouts.locate import own_path
from bench.data.layouts.manifest import Reading, list_manifest


@dataset
@dataclass(frozen=True)
class Manifest:
    """path: the CSV or Parquet file, or the folder with the JSON files; relative: also looked for under the data root.

    label_column: the column with the labels. resize, value_range, mirror: as for a folder. test_fraction,
    split_seed: of the cut of a Parquet file that has no split column.
    """

    path: str = ""
    resize: ResizeMode = "crop"
    value_range: tuple[int, ...] | None = None
    mirror: bool = True
    label_column: str = "label"
    test_fraction: float = 0.3
    split_seed: int = 0

    def load(self, place: DataPlace) -> Collection:
        reading = Reading(self.label_column, self.test_fraction, self.split_seed)
        listing = list_manifest(own_path(self.path, place), place.cache, reading)
        recipe = DecodeRecipe(resize=self.resize, value_range=self.value_range)
        return collect(listing, place, recipe, mirror=self.mirror)
