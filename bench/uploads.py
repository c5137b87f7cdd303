"""Arrays on their way to a card, through memory that it fetches from while it computes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor


def sent(values: Tensor, device: torch.device) -> Tensor:
    """Return a copy of a tensor of the host on the device; where that fetches by itself, nothing waits for it."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)


def unit_floats(pixels: Tensor) -> Tensor:
    """Return uint8 ``(n, h, w, c)`` as float32 ``(n, c, h, w)`` in [0, 1] on its device, channels last in memory."""
    return pixels.permute(0, 3, 1, 2).float().div_(255.0)


class _Slot:
    """Memory of the host for one batch. sent: when it has left it."""

    def __init__(self, shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> None:
        self.host = torch.empty(shape, dtype=dtype, pin_memory=device.type == "cuda")
        self.sent = torch.get_device_module(device).Event()

    def filled(self, read: Callable[[], Tensor]) -> int:
        values = read()
        self.host[: len(values)].copy_(values)
        return len(values)


def uploaded(
    reads: Iterable[Callable[[], Tensor]],
    shape: tuple[int, ...],
    device: torch.device,
    *,
    ahead: bool,
    dtype: torch.dtype = torch.uint8,
) -> Generator[Tensor, None, None]:
    """Yield what each call returns, ``(n, ...)`` of at most this shape, as a tensor of its own on the device.

    There are two pieces of pinned memory: while the device computes a batch, the next is read into the other, and a
    stream of its own sends it. ahead: whether a thread reads, which asks nothing of the device; else the caller's does,
    once what is to be done with the batch before has been launched. device: any with streams, as CUDA has; dtype: of
    what the calls return.
    """
    streams = torch.get_device_module(device)
    slots, waiting = [_Slot(shape, device, dtype) for _ in range(2)], iter(reads)
    sending = streams.Stream(device)
    reader = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")

    def begun() -> tuple[_Slot, Future[int]] | None:
        read = next(waiting, None)
        if read is None:
            return None
        slots.reverse()
        slots[0].sent.synchronize()  # what lay there two batches ago has left
        if ahead:
            return slots[0], reader.submit(slots[0].filled, read)
        done: Future[int] = Future()
        done.set_result(slots[0].filled(read))
        return slots[0], done

    try:
        coming = begun()
        while coming is not None:
            slot, filled = coming
            count = filled.result()
            with streams.stream(sending):
                there = torch.empty((count, *shape[1:]), dtype=dtype, device=device)
                there.copy_(slot.host[:count], non_blocking=True)
                slot.sent.record(sending)
            computing = streams.current_stream(device)
            computing.wait_event(slot.sent)
            if there.is_cuda:
                there.record_stream(computing)  # its memory is another's only after what computes with it
            if ahead:
                coming = begun()
            yield there
            if not ahead:
                coming = begun()
    finally:
        reader.shutdown(cancel_futures=True)
