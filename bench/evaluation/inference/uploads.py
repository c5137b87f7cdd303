"""Images on their way to a card: read ahead, sent while it computes, all batches of one shape."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from bench.contract import Images

AHEAD = 2  # batches in memory at a time: one that the card computes, one that is read or sent meanwhile


class _Slot:
    """Memory for one batch's bytes, on the host, where a card can fetch them by itself, and on the device.

    sent: when the bytes have left the host; used: when the device needs them no more.
    """

    def __init__(self, shape: tuple[int, ...], device: torch.device) -> None:
        events = torch.get_device_module(device)
        self.host = torch.empty(shape, dtype=torch.uint8, pin_memory=device.type == "cuda")
        self.there = torch.empty(shape, dtype=torch.uint8, device=device)
        self.sent, self.used = events.Event(), events.Event()

    def read(self, images: Images, rows: slice) -> None:
        """Fill the host's side, a short batch with its last image again and again."""
        self.sent.synchronize()  # what lay there before has left
        pixels, held = images.take(rows), self.host.numpy()
        held[: len(pixels)] = pixels
        held[len(pixels) :] = pixels[-1]


def sent_ahead(images: Images, size: int, device: torch.device) -> Generator[tuple[slice, Tensor], None, None]:
    """Yield each batch's rows and its images, float32 ``(size, c, h, w)`` in [0, 1] on the device, channels last.

    A thread reads what comes next (off the disk, where it is a memory map), and a stream of its own sends it, as bytes,
    while the device computes; nothing here waits for that. The last batch is filled up to ``size`` with copies of its
    last image, so that kernels, compilers and graphs see one shape. device: any with streams, as CUDA has.
    """
    streams = torch.get_device_module(device)
    shape = images.shape
    batches = [slice(first, min(first + size, len(images))) for first in range(0, len(images), size)]
    slots = [_Slot((size, shape.height, shape.width, shape.channels), device) for _ in range(AHEAD)]
    sending = streams.Stream(device)
    sending.wait_stream(streams.current_stream(device))  # the slots' memory may have been another's until now
    reader = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
    reads: deque[tuple[_Slot, Future[None]]] = deque()
    waiting: deque[_Slot] = deque()  # sent, and not handed out yet

    def read(number: int) -> None:
        if number < len(batches):
            slot = slots[number % AHEAD]
            reads.append((slot, reader.submit(slot.read, images, batches[number])))

    def send() -> None:
        slot, done = reads.popleft()
        done.result()
        with streams.stream(sending):
            sending.wait_event(slot.used)
            slot.there.copy_(slot.host, non_blocking=True)
            slot.sent.record(sending)
        waiting.append(slot)

    try:
        for number in range(AHEAD):
            read(number)
        for number, rows in enumerate(batches):
            if not waiting:
                send()
            slot, computing = waiting.popleft(), streams.current_stream(device)
            computing.wait_event(slot.sent)
            pixels = unit_floats(slot.there)
            slot.used.record(computing)
            read(number + AHEAD)
            if reads and reads[0][1].done():
                send()  # now, so that it travels while this batch is computed
            yield rows, pixels
    finally:
        reader.shutdown(cancel_futures=True)
        for slot in slots:
            slot.sent.synchronize()  # before the memory is another's


def unit_floats(pixels: Tensor) -> Tensor:
    """Return uint8 ``(n, h, w, c)`` as float32 ``(n, c, h, w)`` in [0, 1] on its device, channels last in memory."""
    return pixels.permute(0, 3, 1, 2).to(torch.float32).div_(255)
