"""Your own images, listed in a CSV file (path,label,split) or in JSON files, with queries and gallery if you name them.

The CSV's columns are open-metric-learning's: path,label,split,is_query,is_gallery, the last two optional, with paths
relative to the CSV's folder. The other layout is a folder with train/, query_images/ and gallery/, and with
train_image_info.json and test_image_info.json, which map file name to label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bench import Collection, DataPlace, dataset
from bench.data.decode import Recipe
from bench.data.listing import collect
from bench.data.locate import own_path
from bench.data.manifest import list_manifest


@dataset
@dataclass(frozen=True)
class Manifest:
    """path: the CSV file, or the folder with the JSON files; relative ones are also looked for under the data root.

    size, resize, skip_broken, mirror: as for a folder.
    """

    path: str = ""
    size: int | None = None
    resize: Literal["crop", "pad", "stretch"] = "crop"
    skip_broken: bool = False
    mirror: bool = True

    def load(self, place: DataPlace) -> Collection:
        listing = list_manifest(own_path(self.path, place))
        size = None if self.size is None else (self.size, self.size)
        return collect(listing, place, Recipe(size, self.resize, self.skip_broken), mirror=self.mirror)
