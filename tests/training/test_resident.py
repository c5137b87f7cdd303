"""Batches on a card: those of the processor, from pixels that lie there or are sent ahead, with no way back.

No card is needed: what a card is asked to do is done on the processor, or on tensors that have no values.
"""

from __future__ import annotations

import gc
import threading
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from bench.contract import Images, Split
from bench.devices import SHARE
from bench.training import batches as batches_module
from bench.training import resident
from bench.training.augment import Augment, Augmentation
from bench.training.batches import Batches, Features, in_chunks
from bench.training.resident import resident_pixels, resident_values, room
from bench.uploads import uploaded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CPU = torch.device("cpu")


def pictures(n: int, height: int, width: int, channels: int) -> Images:
    rng = np.random.default_rng(n)
    return Images(rng.integers(0, 256, (n, height, width, channels), dtype=np.uint8))


def split(n: int = 40, height: int = 33, width: int = 36, channels: int = 3) -> Split:
    """Return every other image of twice as many, backwards: rows of the split are not rows of its source."""
    images = pictures(2 * n, height, width, channels).subset(np.arange(2 * n - 1, -1, -2, dtype=np.int64))
    return Split(images, np.arange(n, dtype=np.int64) % 5, np.arange(n).astype(np.str_))


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Take the processor for a card whose free memory can be said; at first it holds everything."""
    for module in (batches_module, resident):
        monkeypatch.setattr(module, "fetches", lambda device: True)

    def has(free: int) -> None:
        monkeypatch.setattr(resident, "free_bytes", lambda device: free - sum(map(nbytes, resident._held.values())))

    has(2**30)
    yield has
    resident._held.clear()


def nbytes(one: Tensor) -> int:
    return one.nbytes


class NoWayBack(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Refuses what waits for a device's values, and what a CUDA graph cannot hold."""

    refused = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "equal", "is_nonzero", "item")

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func).removeprefix("aten.").split(".")[0]
        assert not name.startswith(self.refused), name
        if name == "index":
            assert all(one is None or one.dtype == torch.int64 for one in args[1])
        if name in ("_to_copy", "copy_"):
            assert len({one.device.type for one in args if isinstance(one, Tensor)}) == 1
            assert (kwargs or {}).get("device") is None
        return func(*args, **(kwargs or {}))


@given(
    st.sampled_from(["none", "light"]),
    st.booleans(),
    st.integers(1, 70),
    st.integers(1, 70),
    st.sampled_from([1, 3]),
    st.integers(0, 99),
)
@settings(max_examples=25, deadline=None)
def test_the_gather_on_a_device_gives_the_bytes_of_the_processor(  # noqa: PLR0917 - each is drawn
    name: Augment, mirror: bool, height: int, width: int, channels: int, seed: int
) -> None:
    images, augmentation = pictures(9, height, width, channels), Augmentation(name, mirror)
    rows = np.random.default_rng(seed).integers(0, 9, 12)
    draws = augmentation.draw(12, height, width, np.random.default_rng(seed))
    expected = augmentation.applied(torch.from_numpy(images.take(rows)), draws)
    given = torch.from_numpy(images.pixels), torch.from_numpy(rows), torch.from_numpy(draws)
    with NoWayBack():  # type: ignore[no-untyped-call]  # as above
        found = augmentation.gathered(*given[:2], *augmentation.prepared(given[2], height, width))
    assert torch.equal(found, expected)


@pytest.mark.parametrize(
    ("height", "width", "channels", "smooth"),
    [(32, 32, 3, False), (45, 60, 1, True), (45, 60, 3, False), (96, 64, 3, True), (7, 3, 1, False)],
)
def test_crops_resampled_on_a_device_are_torchvisions_to_one_level(
    height: int, width: int, channels: int, smooth: bool
) -> None:
    pixels = torch.from_numpy(pictures(40, height, width, channels).pixels)
    if smooth:
        pixels = (torch.arange(height)[:, None, None] * 255 // height + pixels % 8).clamp(max=255).to(torch.uint8)
    augmentation, rows = Augmentation("crop", mirror=True), torch.arange(40)
    draws = augmentation.draw(40, height, width, np.random.default_rng(1))
    draws[:4, 0] = (0, 0, height, width)  # the whole image comes as it is
    expected = augmentation.applied(pixels, draws)
    with NoWayBack():  # type: ignore[no-untyped-call]  # as above
        prepared = augmentation.prepared(torch.from_numpy(draws), height, width)
        found = augmentation.gathered(pixels, rows, *prepared)
    apart = (found.int() - expected.int()).abs()
    assert apart.max() <= 1
    assert (apart > 0).float().mean() < 1e-3  # none here; a processor without vector instructions may round otherwise


@pytest.mark.parametrize("name", ["none", "light", "crop"])
def test_a_batch_is_made_on_a_cuda_device_from_nothing_of_the_host(name: Augment) -> None:
    augmentation = Augmentation(name, mirror=True)
    drawn = augmentation.draw(8, 40, 36, np.random.default_rng(0))
    with FakeTensorMode():
        pixels = torch.empty(50, 40, 36, 3, dtype=torch.uint8, device="cuda")
        rows = torch.empty(8, dtype=torch.int64, device="cuda")
        draws = torch.empty(drawn.shape, dtype=torch.int64, device="cuda")
        found = augmentation.gathered(pixels, rows, *augmentation.prepared(draws, 40, 36))
        unit = batches_module.to_unit_float(found, found.device)
    assert (found.device.type, found.shape, found.dtype) == ("cuda", (8, 40, 36, 3), torch.uint8)
    assert (unit.shape, unit.dtype) == ((8, 3, 40, 36), torch.float32)
    assert unit.is_contiguous(memory_format=torch.channels_last)


def epoch(data: Split, augmentation: Augmentation, features: Features | None = None) -> list[tuple[Tensor, ...]]:
    supply = Batches(data, 16, CPU, 3, augmentation, features=features)
    assert supply.per_epoch * 16 <= 3 * 2048
    return [(one.inputs, one.labels, one.rows) for one in supply.epoch(2)]


def same(one: list[tuple[Tensor, ...]], other: list[tuple[Tensor, ...]]) -> bool:
    pairs = zip(one, other, strict=True)
    return all(torch.equal(a, b) for x, y in pairs for a, b in zip(x, y, strict=True))


@pytest.mark.parametrize("name", ["none", "light", "trivial"])
def test_an_epoch_is_the_same_resident_streamed_and_in_turn(
    name: Augment, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr(batches_module, "_SHORTEST_EPOCH", 7)
    monkeypatch.setattr(batches_module, "_DRAWN_AHEAD", 3 * 16)  # the last draws sent are of fewer batches
    data, augmentation = split(), Augmentation(name, mirror=True)
    in_turn = epoch(data, augmentation)
    card = request.getfixturevalue("card")
    assert same(epoch(data, augmentation), in_turn)
    assert len(resident._held) == (name != "trivial")
    assert all(one.is_contiguous(memory_format=torch.channels_last) for one, _, _ in epoch(data, augmentation))
    resident._held.clear()
    card(0)
    assert same(epoch(data, augmentation), in_turn)
    assert not resident._held


def test_crops_are_the_same_whether_the_pixels_lie_there_or_are_sent(
    card: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches_module, "_SHORTEST_EPOCH", 3)
    data, augmentation = split(), Augmentation("crop", mirror=True)
    there = epoch(data, augmentation)
    resident._held.clear()
    card(0)
    assert same(epoch(data, augmentation), there)


def test_features_are_taken_where_they_lie_by_the_same_draws(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr(batches_module, "_SHORTEST_EPOCH", 7)
    data, features = split(), Features(torch.randn(3, 40, 7).half())
    in_turn = epoch(data, Augmentation("none", mirror=False), features)
    card = request.getfixturevalue("card")
    assert same(epoch(data, Augmentation("none", mirror=False), features), in_turn)
    assert resident_values(features.views, CPU) is resident_values(features.views, CPU)
    assert torch.equal(features.plain(CPU), features.plain())
    resident._held.clear()
    card(0)
    assert same(epoch(data, Augmentation("none", mirror=False), features), in_turn)


def test_one_copy_serves_all_who_show_the_same_images_and_goes_with_them(card: Callable[[int], None]) -> None:
    data = split()
    there = resident_pixels(data.images, CPU)
    assert there is not None
    assert np.array_equal(there.numpy(), data.images.take(slice(None)))
    again = Images(data.images.source, data.images.rows.copy() if data.images.rows is not None else None)
    assert resident_pixels(again, CPU, put=False) is there
    assert resident_pixels(data.images.subset(np.arange(3)), CPU, put=False) is None
    del data, again
    gc.collect()
    assert not resident._held


def test_what_does_not_fit_into_the_share_stays_on_the_host(card: Callable[[int], None]) -> None:
    first, second = pictures(10, 8, 8, 3), pictures(11, 8, 8, 3)
    size = first.pixels.nbytes
    card(int(size / SHARE) - 3)
    assert resident_pixels(first, CPU) is None
    card(int(size / SHARE) + 3)
    assert resident_pixels(first, CPU) is not None
    assert resident_pixels(second, CPU) is None  # the share is of all that lies there
    assert 0 <= room(CPU) < 3
    card(int((size + second.pixels.nbytes) / SHARE) + 3)
    assert resident_pixels(second, CPU) is not None


def test_a_device_that_is_no_card_holds_nothing() -> None:
    assert resident_pixels(pictures(3, 4, 4, 1), CPU) is None
    assert not resident._held


@pytest.mark.parametrize("free", [0, 2**30])
def test_a_split_in_chunks_is_the_same_from_wherever_it_comes(card: Callable[[int], None], free: int) -> None:
    data = split(23, 5, 4)
    wanted = batches_module.to_unit_float(torch.from_numpy(data.images.take(slice(None))), CPU)
    card(free)
    for keep in (False, True):
        found = [*in_chunks(data, CPU, 7, keep=keep)]
        assert [len(one) for one in found] == [7, 7, 7, 2]
        assert torch.equal(torch.cat(found), wanted)
        assert bool(resident._held) == (keep and free > 0)
    assert [*in_chunks(data.subset(np.zeros(0, np.int64)), CPU, 7, keep=True)] == []


class _Stream:
    """A stream that does its copies as late as it may: when somebody waits for them."""

    def __init__(self, device: torch.device) -> None:
        self.copies: list[Callable[[], Tensor]] = []
        self.done = 0
        self.waits: list[tuple[_Stream, int]] = []

    def run(self, until: int) -> None:
        while self.done < until:
            self.copies[self.done]()
            self.done += 1

    def wait_event(self, event: _Event) -> None:
        self.waits.append(event.recorded[-1])


class _Event:
    def __init__(self) -> None:
        self.recorded: list[tuple[_Stream, int]] = []

    def record(self, stream: _Stream) -> None:
        self.recorded.append((stream, len(stream.copies)))

    def synchronize(self) -> None:
        for stream, until in self.recorded[-1:]:
            stream.run(until)


@pytest.mark.parametrize("ahead", [True, False])
def test_no_buffer_is_written_to_before_it_has_left_and_the_host_waits_for_no_batch_it_has_just_sent(
    ahead: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    computing, at_once = _Stream(CPU), Tensor.copy_
    active: list[_Stream] = []
    readers, left = [], []

    @contextmanager
    def within(stream: _Stream) -> Iterator[None]:
        active.append(stream)
        yield

    def copy(self: Tensor, source: Tensor, non_blocking: bool = False) -> Tensor:
        if not non_blocking:
            return at_once(self, source)
        active[-1].copies.append(lambda: at_once(self, source))
        return self

    def read(number: int) -> Tensor:
        readers.append(threading.current_thread())
        left.append(active[-1].done if active else 0)
        return torch.full((3 - number % 2, 4), number, dtype=torch.uint8)

    streams = SimpleNamespace(Event=_Event, Stream=_Stream, stream=within, current_stream=lambda device: computing)
    monkeypatch.setattr(torch, "get_device_module", lambda device: streams)
    monkeypatch.setattr(Tensor, "copy_", copy)
    calls = (lambda number=number: read(number) for number in range(9))
    found = [*uploaded(calls, (3, 4), CPU, ahead=ahead)]
    for stream, until in computing.waits:
        stream.run(until)
    assert [one.tolist() for one in found] == [[[n] * 4] * (3 - n % 2) for n in range(9)]
    assert {one is threading.main_thread() for one in readers} == {not ahead}
    assert left == [max(0, n - 1) for n in range(9)]  # of two buffers, the one read into has left; the other need not


def test_a_reader_that_fails_is_told_and_one_that_is_left_ends() -> None:
    def fails() -> Tensor:
        raise OSError("gone")

    supply = uploaded([lambda: torch.zeros(1, 2, dtype=torch.uint8), fails], (1, 2), CPU, ahead=True)
    next(supply)
    with pytest.raises(OSError, match="gone"):
        next(supply)
    left = uploaded((lambda: torch.zeros(1, 2, dtype=torch.uint8) for _ in range(9)), (1, 2), CPU, ahead=True)
    next(left)
    left.close()
    assert not [one for one in threading.enumerate() if one.name.startswith("read-ahead")]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no card")
@pytest.mark.parametrize("name", ["none", "light", "crop", "trivial"])
def test_a_card_shows_the_bytes_that_the_processor_shows(name: Augment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches_module, "_SHORTEST_EPOCH", 12)
    data, augmentation, card = split(), Augmentation(name, mirror=True), torch.device("cuda")
    wanted = epoch(data, augmentation)
    for free in (2**30, 0):
        monkeypatch.setattr(resident, "free_bytes", lambda device, free=free: free)
        supply = Batches(data, 16, card, 3, augmentation).epoch(2)
        for one, (inputs, labels, rows) in zip(supply, wanted, strict=True):
            apart = ((one.inputs.cpu() - inputs) * 255).round().abs().max()
            assert apart <= (1 if name == "crop" else 0)
            assert torch.equal(one.labels.cpu(), labels)
            assert torch.equal(one.rows.cpu(), rows)
        resident._held.clear()
