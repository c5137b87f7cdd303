"""Hundreds of files that are not what they say: each is left out and counted, nothing else is lost, nothing happens."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import socket
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.contract import Collection, DataError, DataPlace
from bench.data.decoding import decode
from bench.data.decoding.decode import DecodeRecipe
from bench.data.layouts.folder import list_folder
from bench.data.layouts.listing import collect

pytestmark = pytest.mark.faults

GOOD = 60
NOISE = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)


def encoded(kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(NOISE).save(out, kind, **options)
    return out.getvalue()


def png(width: int, height: int, data: bytes) -> bytes:
    """A PNG file whose header may say anything."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


class Explosive:
    def __init__(self, sentinel: Path) -> None:
        self.sentinel = sentinel

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.sentinel),)


def fill_with_evil(folder: Path, outside: Path, sentinel: Path) -> int:
    """Put hostile files into a folder; return how many of them are to be left out."""
    dice = random.Random(0)
    folder.mkdir(parents=True, exist_ok=True)
    contents: dict[str, bytes] = {}
    for kind, suffix in (("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp"), ("GIF", "gif"), ("TIFF", "tif")):
        whole = encoded(kind)
        for number in range(24):
            contents[f"cut {number}.{suffix}"] = whole[: dice.randrange(1, len(whole) * 2 // 3)]
    for number in range(20):
        contents[f"zero {number}.jpg"] = b""
        contents[f"nulls {number}.png"] = bytes(10 + number * 97)
        contents[f"text {number}.webp"] = b"I am a text, %d times\n" % number * (number + 1)
        contents[f"noise {number}.bmp"] = dice.randbytes(50 + number * 31)
    contents["bomb.png"] = png(50_000, 50_000, bytes(1000))
    contents["bomb.bmp"] = b"BM" + struct.pack(
        "<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 50_000, 50_000, 1, 24, 0, 0, 0, 0, 0, 0
    )
    contents["lying.png"] = png(9000, 9000, bytes(3 * 40 * 40))
    contents["lying too.png"] = png(40, 4000, bytes(100))
    contents["program.jpg"] = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(" + bytes(sentinel) + b") (w) file\n"
    contents["pickle.png"] = pickle.dumps(Explosive(sentinel))
    contents["archive.jpg"] = b"PK\x03\x04" + dice.randbytes(200)
    contents["markup.png"] = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"></svg>'
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    evil = len(contents)
    os.mkfifo(folder / "pipe.jpg")
    (folder / "dangling.jpg").symlink_to(folder / "nowhere.jpg")
    (folder / "loop.jpg").symlink_to(folder / "pool.jpg")
    (folder / "pool.jpg").symlink_to(folder / "loop.jpg")
    (folder / "device.jpg").symlink_to("/dev/zero")
    (folder / "folder.jpg").mkdir()
    (folder / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"not UTF-8, not an image")
    with socket.socket(socket.AF_UNIX) as ear:
        here = os.getcwd()
        os.chdir(folder)  # an address has 108 bytes at most
        ear.bind("socket.jpg")
        os.chdir(here)
    evil += 8
    # what is no image by name is passed over, and a good image under a wrong name is a good image
    (folder / "pickle.npy").write_bytes(pickle.dumps(Explosive(sentinel)))
    (folder / "circle").symlink_to(folder)
    (folder / "png.jpg").write_bytes(encoded("PNG"))
    outside.mkdir()
    (outside / "elsewhere.jpg").write_bytes(encoded("JPEG"))
    (folder / "outside.jpg").symlink_to(outside / "elsewhere.jpg")
    return evil


@pytest.fixture
def evil(tmp_path: Path) -> tuple[Path, int]:
    """A folder of two classes, 60 good images and more than 200 that are not, and how many of those."""
    root = tmp_path / "data"
    for name in "ab":
        (root / name).mkdir(parents=True)
        for number in range(GOOD // 2):
            Image.new("RGB", (40, 40), (number + 1, 9, 9)).save(root / name / f"good {number}.png")
    return root, fill_with_evil(root / "a", tmp_path / "outside", tmp_path / "sentinel")


def snapshot(folder: Path) -> set[str]:
    return {os.path.join(above, name) for above, _, names in os.walk(os.fsencode(folder)) for name in names}  # type: ignore[misc] # bytes


def gather(root: Path, place: DataPlace) -> Collection:
    return collect(list_folder(root), place, DecodeRecipe(size=(16, 16)), mirror=False)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("workers_from", [1, 10_000], ids=["processes", "threads"])
def test_hostile_files_are_left_out_and_counted_and_nothing_else_is_lost(
    evil: tuple[Path, int], tmp_path: Path, place: DataPlace, monkeypatch: pytest.MonkeyPatch, workers_from: int
) -> None:
    monkeypatch.setattr(decode, "WORKERS_FROM", workers_from)
    root, count = evil
    assert count >= 200
    before = snapshot(tmp_path)
    collection = gather(root, replace(place, broken="any"))
    ids = {str(one) for part in collection.parts().values() for one in part.ids}
    good = {f"{name}/good {number}.png" for name in "ab" for number in range(GOOD // 2)}
    assert ids == good | {"a/png.jpg", "a/outside.jpg"}
    note, left_out = collection.notes
    assert left_out == "left out: 1 .npy"
    assert note.startswith(f"{count} of {count + len(ids)} image files left out, as they cannot be read: a/")
    assert f", and {count - 3} more" in note
    note.encode("utf-8")
    for part in collection.parts().values():
        for pixels, one in zip(part.images.take(slice(None)), part.ids, strict=True):
            if "good" in one:
                assert pixels[0, 0, 0] == int(one.split()[1].split(".")[0]) + 1
    assert {one for one in snapshot(tmp_path) - before if b"/cache/" not in one} == set()  # type: ignore[operator] # bytes
    assert not (tmp_path / "sentinel").exists()


def test_so_many_are_refused_unless_they_are_to_be_skipped(evil: tuple[Path, int], place: DataPlace) -> None:
    root, count = evil
    for policy, way_out in (("few", "leave them out with --skip-broken"), ("none", "leave out --strict")):
        with pytest.raises(DataError, match=f"^{count} of .* cannot be read: .*{way_out}") as caught:
            gather(root, replace(place, broken=policy))  # type: ignore[arg-type] # both are policies
        assert "\n" not in str(caught.value)


MEASURED = """
import json, resource, sys
from pathlib import Path
from bench.contract import DataPlace
from bench.data.decoding.decode import DecodeRecipe
from bench.data.layouts.folder import list_folder
from bench.data.layouts.listing import collect
resource.setrlimit(resource.RLIMIT_AS, (1_500_000_000, 1_500_000_000))
place = DataPlace(None, Path(sys.argv[2]), broken="any")
found = collect(list_folder(Path(sys.argv[1])), place, DecodeRecipe(size=(16, 16)), mirror=False)
status = Path("/proc/self/status").read_text()  # ru_maxrss would count the memory of the process that forked this one
most = int(status.partition("VmHWM:")[2].split()[0])
print(json.dumps([sum(map(len, found.parts().values())), most]))
"""


@pytest.mark.timeout(60)
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_hostile_files_cannot_make_it_take_much_memory(evil: tuple[Path, int], place: DataPlace) -> None:
    command = [sys.executable, "-P", "-c", MEASURED, str(evil[0]), str(place.cache)]
    images, most = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert images == GOOD + 2
    assert most < 600_000  # KiB; the lying header says 243 MB, and two may be decoded at once


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_left_out(evil: tuple[Path, int], place: DataPlace) -> None:
    root, count = evil
    (root / "b" / "good 3.png").chmod(0)
    assert gather(root, replace(place, broken="any")).notes[0].startswith(f"{count + 1} of ")


def test_random_damage_never_does_worse_than_leave_a_file_out(tmp_path: Path, place: DataPlace) -> None:
    dice = random.Random(1)
    for name in "ab":
        (tmp_path / "data" / name).mkdir(parents=True)
        Image.fromarray(NOISE).save(tmp_path / "data" / name / "good.png")
        Image.fromarray(NOISE).save(tmp_path / "data" / name / "good.webp", lossless=True)
    for kind, suffix in (
        ("JPEG", "jpg"),
        ("PNG", "png"),
        ("WEBP", "webp"),
        ("GIF", "gif"),
        ("TIFF", "tif"),
        ("BMP", "bmp"),
    ):
        whole = encoded(kind)
        for number in range(50):
            data = bytearray(whole)
            for _ in range(dice.randrange(1, 20)):
                data[dice.randrange(len(data))] = dice.randrange(256)
            (tmp_path / "data" / "a" / f"{number}.{suffix}").write_bytes(data)
    collection = gather(tmp_path / "data", replace(place, broken="any"))
    ids = {str(one) for part in collection.parts().values() for one in part.ids}
    assert {"a/good.png", "b/good.png", "a/good.webp", "b/good.webp"} <= ids
