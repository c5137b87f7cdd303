"""A process that decodes strangers' pictures: little memory, no file written, and ended when it takes too long.

In comes a line of JSON and the picture's bytes, out a line of JSON and the pixels, until standard input ends.
"""

from __future__ import annotations

import json
import sys
from io import BufferedWriter

import numpy as np
from PIL import Image

from bench.data.decoding.block import READY, open_answers
from bench.data.decoding.decode_image import decode_picture
from bench.data.decoding.image_source import UnreadableImageError


def main(memory: int, pixels: int) -> None:
    """Decode until standard input ends, which it also does when the server is killed."""
    answers = BufferedWriter(open_answers())
    Image.MAX_IMAGE_PIXELS = pixels
    _confine(memory)
    answers.write(READY)
    answers.flush()
    for line in sys.stdin.buffer:
        task = json.loads(line)
        head, body = _answer(task, sys.stdin.buffer.read(task["bytes"]))
        answers.write(json.dumps(head).encode() + b"\n" + body)
        answers.flush()


def _answer(task: dict[str, object], data: bytes) -> tuple[dict[str, object], bytes]:
    height, width, resize = int(str(task["height"])), int(str(task["width"])), task["resize"]
    try:
        picture = decode_picture(data, (height, width), resize, value_range=task.get("value_range"))  # type: ignore[arg-type] # the server wrote it
    except UnreadableImageError as error:
        greedy = isinstance(error.__cause__, MemoryError)
        return {"reason": "it takes too much memory to decode" if greedy else str(error)}, b""
    return {"shape": picture.shape}, np.ascontiguousarray(picture).tobytes()


def _confine(memory: int) -> None:
    """Limit this process's memory and forbid it to write files, as far as the system can."""
    try:
        import resource  # noqa: PLC0415 - Windows has none
    except ImportError:
        return
    for kind, most in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)):
        try:
            resource.setrlimit(kind, (most, most))
        except (ValueError, OSError):  # macOS has no limit of memory
            continue
