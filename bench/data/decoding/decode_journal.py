"""A decode that is under way: the file of pixels, and a journal of the blocks that are on the disk.

A block is entered after its pixels were seen to the disk, with their checksum; what a killed process leaves is so taken
up where it was, and never trusted further than it can be checked.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from bench.data.decoding.block import Frame, Outcome
from bench.data.decoding.cache import PIXELS

JOURNAL = "blocks.jsonl"
EVERY = 1.0  # seconds between two visits to the disk: what a kill costs at most


class DecodeJournal:
    """The folder of one decode: ``files`` rows of one frame. To be used with its lock held."""

    def __init__(self, folder: Path, files: int, facts: Mapping[str, object]) -> None:
        self.folder = folder
        self.done: dict[int, Outcome] = {}
        self.frame: Frame | None = None
        self.start = 0  # of the pixels, behind the header
        self._files = files
        self._facts = json.loads(json.dumps(facts))
        self._waiting: list[Outcome] = []
        self._synced = time.monotonic()
        self._resume()

    @property
    def pixels(self) -> Path:
        return self.folder / PIXELS

    def begin(self, frame: Frame) -> None:
        """Start anew, with every block still to do."""
        self.discard()
        self.folder.mkdir(parents=True)
        self.frame, self.done, self._waiting = frame, {}, []
        with self.pixels.open("wb") as file:
            shape = (self._files, frame.height, frame.width, frame.channels)
            np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
            self.start = file.tell()
            file.truncate(self.start + self._files * frame.bytes)
        head = {"frame": asdict(frame), "files": self._files, "start": self.start, "facts": self._facts}
        self._append([{**head, "key": self.folder.name}])

    def enter(self, outcome: Outcome) -> None:
        """Take note of a block; it is on the disk at the next visit."""
        self.done[outcome.start] = outcome
        self._waiting.append(outcome)
        if time.monotonic() - self._synced > EVERY:
            self.sync()

    def sync(self) -> None:
        """See the blocks to the disk, then enter them in the journal."""
        if self._waiting:
            with self.pixels.open("r+b") as file:
                os.fsync(file.fileno())
            self._append([asdict(outcome) for outcome in self._waiting])
            self._waiting = []
        self._synced = time.monotonic()

    def finish(self) -> None:
        """See all of it to the disk; the journal has served."""
        self.sync()
        (self.folder / JOURNAL).unlink()

    def discard(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _append(self, lines: list[dict[str, Any]]) -> None:
        with (self.folder / JOURNAL).open("a", encoding="utf-8") as file:
            file.writelines(json.dumps({**line, "check": _check(line)}) + "\n" for line in lines)
            file.flush()
            os.fsync(file.fileno())

    def _resume(self) -> None:
        """Take up the blocks that are in the journal and whose pixels are what it says."""
        try:
            lines = self._lines()
            head = next(lines, {})
            found = (head.get("facts"), head.get("files"), head.get("key"))
            if found != (self._facts, self._files, self.folder.name):
                return
            frame, self.start = Frame(**head["frame"]), int(head["start"])
            with self.pixels.open("rb") as file:
                for line in lines:
                    outcome = Outcome.from_json(line)
                    file.seek(self.start + outcome.start * frame.bytes)
                    if zlib.crc32(file.read(outcome.count * frame.bytes)) == outcome.crc:
                        self.done[outcome.start] = outcome
            self.frame = frame
        except (OSError, ValueError, TypeError, KeyError):  # nothing there, or nothing that can be used
            self.done = {}

    def _lines(self) -> Iterator[dict[str, Any]]:
        with (self.folder / JOURNAL).open(encoding="utf-8") as file:
            for line in file:
                if not line.endswith("\n"):
                    return  # the process was killed here
                found = json.loads(line)
                if not isinstance(found, dict) or found.pop("check", None) != _check(found):
                    return  # damaged: what follows is decoded again
                yield found


def _check(line: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(line, sort_keys=True).encode())
