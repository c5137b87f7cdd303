"""Your own images, one subfolder a class, with or without train/ and test/ above them.

Files are JPEG, PNG, WebP, BMP, GIF (first frame), TIFF, PNM, AVIF or (with an extra) HEIC, also in subfolders of a
class's folder.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench import Collection, DataPlace, dataset
from bench.contract import ResizeMode
from bench.data.decoding.decode import DecodeRecipe
from bench.data.layouts.folder import LabelFrom, list_folder
from bench.data.layouts.listing import collect
from bench.data.layouts.locate import own_path


@dataset
@dataclass(frozen=True)
class Folder:
    """path: the folder; relative ones are also looked for under the data root.

    resize: "crop" to the square in the middle, "pad" to a square with white, or "stretch".
    value_range: lowest and highest value of 16-bit pictures, such as 0,4095: black and white; None: 0 and 65,535.
    mirror: a mirrored image shows the same class.
    label_from: of folders inside a class folder, "outer" is the class, or the "inner" one, in which the picture lies.
    test_fraction, split_seed: of the cut where the folder has none of its own.
    """

    path: str = ""
    resize: ResizeMode = "crop"
    value_range: tuple[int, ...] | None = None
    mirror: bool = True
    label_from: LabelFrom = "outer"
    test_fraction: float = 0.3
    split_seed: int = 0

    def load(self, place: DataPlace) -> Collection:
        root = own_path(self.path, place)
        listing = list_folder(
            root, test_fraction=self.test_fraction, split_seed=self.split_seed, label_from=self.label_from
        )
        recipe = DecodeRecipe(resize=self.resize, value_range=self.value_range)
        return collect(listing, place, recipe, mirror=self.mirror)
