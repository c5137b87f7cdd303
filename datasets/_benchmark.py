"""What published benchmarks have in common: upstream's own folder, its lists, and what a variant makes of them.

None is downloaded: their pictures come without an open licence, or their host is gone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench import Collection, DataError, DataPlace
from bench.contract import ResizeMode
from bench.data.decoding.decode import DecodeRecipe
from bench.data.formats.csv_table import not_utf8
from bench.data.layouts.listing import Listing, Part, collect
from bench.naming import reason_of

from ._pictures import bases


@dataclass(frozen=True)
class Benchmark:
    """A benchmark as upstream lays it out.

    name: of the data set; folders: what upstream calls its folder, and those who pass it on; layouts: of each layout,
    the files and folders in it that tell it; get: what to get, and where; ks: the depths that its papers report, where
    they agree on any; metrics: what they report that is not worked out elsewhere; warning: what a user must know.
    """

    name: str
    folders: tuple[str, ...]
    layouts: tuple[tuple[str, ...], ...]
    get: str
    ks: tuple[int, ...] = (1, 10, 50)
    metrics: tuple[str, ...] = ()
    warning: str = ""

    def home(self, place: DataPlace) -> Path:
        """Return upstream's folder: under the data root or our cache, or the data root itself if it is called so.

        Raises DataError that says what to get where it is not there, and what it lacks where it is there in part.
        """
        lacking = ""
        for base in bases(place):
            for folder in (base, *(base / name for name in self.folders)):
                if folder.name not in self.folders or not folder.is_dir():
                    continue
                lacks = [[one for one in layout if not (folder / one).exists()] for layout in self.layouts]
                if not all(lacks):
                    return folder
                fewest = sorted(lacks, key=len)[0]
                lacking = lacking or f" ({folder} lacks {', '.join(fewest)})"
        looked = ", ".join(map(str, bases(place)))
        raise DataError(
            f"{self.name}: not found under {looked}{lacking}, and simbench does not download it. Get {self.get}, and "
            f"name the folder that {self.folders[0]}/ lies in with --data-root or SIMBENCH_DATA"
        )

    def collect(
        self,
        home: Path,
        place: DataPlace,
        parts: Mapping[str, Part],
        *,
        resize: ResizeMode,
        published: Mapping[str, int],
        variant: str = "",
        mirror: bool = True,
    ) -> Collection:
        """Return the parts of a variant, of files below home, as a collection: leave-one-out where it has a test part.

        published: the images that upstream has in each part; a warning and a note say where these are others. Either
        none of the test part's classes is in train, which a note says, or all are.
        """
        counts = {name: len(part) for name, part in parts.items()}
        others = [f"{name} {counts.get(name, 0):,} of {count:,}" for name, count in published.items()]
        warnings = (f"not the published images ({', '.join(others)})",) if counts != dict(published) else ()
        listing = Listing(
            f"{self.name}-{variant}" if variant else self.name,
            home,
            parts,
            warnings=(*filter(None, [self.warning]), *warnings),
            by_class=_by_class(parts),
        )
        found = collect(listing, place, DecodeRecipe(resize=resize), mirror=mirror)
        return replace(found, ks=self.ks, metrics=self.metrics, protocol="loo" if "test" in parts else "")

    @property
    def reported(self) -> str:
        """What a card says of the depths."""
        return f"what its papers call Recall@k is hit@k here, at k = {', '.join(map(str, self.ks))} without -k"


def _by_class(parts: Mapping[str, Part]) -> str:
    learnt, asked = (set(parts[name].labels) if name in parts else set() for name in ("train", "test"))
    if not learnt or not asked or learnt & asked:
        return ""
    return f"split by class: {len(learnt)} classes to learn from, {len(asked)} others to test on"


def rows(source: Path, columns: int, header: str = "", *, above: int = 0) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the cells of each line of a list with blanks between its cells.

    header: its names of columns, if it has any; above: how many lines stand above that. Raises DataError that names the
    line which is not so.
    """
    try:
        lines = source.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise not_utf8(source) from error
    except OSError as error:
        raise DataError(f"{source}: cannot be read ({error.strerror or error})") from error
    first = above + bool(header)
    if header and " ".join(lines[first - 1 : first]).split() != header.split():
        raise DataError(f"{source}: line {first}: expected {header!r}; it is another data set's file")
    for number, line in enumerate(lines[first:], start=first + 1):
        cells = line.split()
        if cells and len(cells) != columns:
            raise DataError(
                f"{source}: line {number}: {len(cells)} values, not {columns}; it is another data set's file"
            )
        if cells:
            yield number, cells


def pairs(source: Path) -> dict[str, tuple[int, str]]:
    """Return a list of two columns: by the first, the number of the line and the second. Raises as ``rows`` does."""
    return {first: (line, second) for line, (first, second) in rows(source, 2)}


def mat_values(source: Path, name: str) -> list[str]:
    """Return a variable of a MATLAB file as text, value by value.

    Raises DataError for a file that cannot be read as one, or holds no such variable.
    """
    return [str(value) for value in _variable(source, name)]


def mat_structs(source: Path, name: str, fields: Sequence[str]) -> list[tuple[str, ...]]:
    """Return these fields of each struct in an array of them as text. Raises as ``mat_values`` does."""
    found = _variable(source, name)
    absent = [field for field in fields if field not in (found.dtype.names or ())]
    if absent:
        raise DataError(f"{source}: its {name} have no {absent[0]}; it is another data set's file")
    return [tuple(str(one[field]) for field in fields) for one in found]


def _variable(source: Path, name: str) -> Any:
    from scipy.io import loadmat  # noqa: PLC0415 - of no use to the other data sets

    try:
        found = loadmat(source, squeeze_me=True, variable_names=[name])
    except Exception as error:  # a damaged file can raise almost anything
        raise DataError(f"{source}: cannot be read as a MATLAB file ({reason_of(error)})") from error
    if name not in found:
        raise DataError(f"{source}: holds no {name}; it is another data set's file")
    return np.atleast_1d(found[name])
