"""Vectors that lie on a device already: checked, scaled and compared there; only what is asked for leaves it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from bench.contract import DataError
from bench.evaluation.ranking.arrays import Ints, Vectors
from bench.evaluation.ranking.vectors import Rows, equal_rows, refuse_bad_rows

_CHUNK = 1 << 16  # rows worked on at once: of 512 dimensions as float64, 256 MB


def as_tensor(value: Tensor, what: str) -> Tensor:
    """Return vectors as they are, without their gradient. Raises DataError where shape or type will not do."""
    if value.ndim != 2:
        raise DataError(f"{what} vectors must have shape (n, d), got {tuple(value.shape)}")
    if value.dtype == torch.bool or value.is_complex():
        raise DataError(f"{what} vectors must be real numbers, got {value.dtype}")
    if 0 in value.shape:
        raise DataError(f"{what} vectors: there is nothing to rank in shape {tuple(value.shape)}")
    return value.detach()


@dataclass(frozen=True)
class DeviceRows(Rows):
    """Checked vectors on a device. source: a tensor ``(n, d)`` of real numbers, in place of an array."""

    on_device: ClassVar[bool] = True

    source: Tensor  # type: ignore[assignment]  # whoever asks for the array of Rows wants one of the host's

    @classmethod
    def of(cls, source: Tensor, what: str, *, normalize: bool) -> DeviceRows:
        """Return the vectors as rows to rank. Raises DataError where a row is not finite or all zero."""
        norms = torch.cat([part.float().double().square().sum(dim=1).sqrt() for part in torch.split(source, _CHUNK)])
        made = cls(source, norms.cpu().numpy(), normalize)
        refuse_bad_rows(made.norms, what)
        return made

    def some(self, rows: Ints) -> DeviceRows:
        """Return some of the rows, int64 row numbers, as rows of their own."""
        return DeviceRows(self.source[self._index(rows)], self.norms[rows], self.normalize)

    def take(self, index: Ints | slice) -> Vectors:
        """Return the chosen rows on the host, float32 ``(k, d)``."""
        found: Vectors = self.take_there(index).cpu().numpy()
        return found

    def take_there(self, index: Ints | slice) -> Tensor:
        """Return the chosen rows on the device, float32 ``(k, d)``."""
        rows = self.source[self._index(index)].float()
        if not self.normalize:
            return rows
        norms = torch.from_numpy(self.norms[index]).to(rows.device)
        parts = zip(torch.split(rows, _CHUNK), torch.split(norms, _CHUNK), strict=True)
        return torch.cat([(part.double() / length[:, None]).float() for part, length in parts])

    def _index(self, index: Ints | slice) -> Tensor | slice:
        if isinstance(index, slice):
            return index
        return torch.from_numpy(np.ascontiguousarray(index)).to(self.source.device)


def there(rows: Rows, index: Ints | slice) -> Tensor:
    """Return chosen rows as a tensor where they lie, float32 ``(k, d)``: on the host those of an array."""
    return rows.take_there(index) if isinstance(rows, DeviceRows) else torch.from_numpy(rows.take(index))


def equal_rows_there(rows: Tensor) -> tuple[Ints, Ints]:
    """Return what ``vectors.equal_rows`` does, of rows on a device, float32 ``(n, d)``."""
    draw = torch.Generator().manual_seed(0)
    weights = torch.randint(2**62, (rows.shape[1],), generator=draw).to(rows.device) * 2 + 1
    parts = torch.split(rows, _CHUNK)
    hashes = torch.cat([((part + 0.0).view(torch.int32).long() * weights).sum(dim=1) for part in parts])
    ordered, order = hashes.sort(stable=True)
    starts = torch.ones_like(ordered, dtype=torch.bool)
    starts[1:] = ordered[1:] != ordered[:-1]
    place = torch.arange(len(order), device=rows.device)
    firsts = order[torch.where(starts, place, 0).cummax(dim=0).values]
    copies, originals = order[~starts], firsts[~starts]
    if not bool((rows[copies] == rows[originals]).all()):  # that differ share a hash: the host tells them apart
        host = rows.cpu().numpy()
        return equal_rows(len(host), lambda index: host[index])
    return copies.cpu().numpy(), originals.cpu().numpy()
