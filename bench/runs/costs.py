"""What a method costs in use: latency of every stage, with the raw samples kept, FLOPs, and memory."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image

from bench.contract import Costs, Dataset, Images, Method, parameters_of
from bench.data.decoding.decode_image import decode_picture
from bench.evaluation.cost.flops_and_memory import embedding_flops, network_digest, peak_embed_bytes
from bench.evaluation.cost.latency import (
    Pictures,
    Service,
    decode_latency,
    embed_latency,
    end_to_end_latency,
    flat_index,
    index_latency,
    preprocess_latency,
    search_latency,
)
from bench.evaluation.cost.timing import Latency, Timing
from bench.evaluation.ranking.arrays import Vectors
from bench.files import packed_arrays
from bench.runs.integrity import FileWriter

PICTURES_TIMED = "PNG files made in memory of images at the data set's size"
_MANY = 64  # images or queries a call, beside one
_PICTURES = 16  # files that are decoded again and again
_NEIGHBOURS = 50
_PACE = 1.0  # of the seconds that each call is timed for; tests are content with less
_FEWEST = {95: 20, 99: 100}  # samples that a percentile is told from; below, it would be the largest of them


def measure_latencies(
    method: Method, dataset: Dataset, query: Vectors, gallery: Vectors, *, device: torch.device, threads: int
) -> list[Latency]:
    """Time every stage apart and all of them end to end, for one image and for 64, and building the gallery's index.

    The files to decode are query images made into PNG files in memory. Takes up to about 5 seconds; where embedding 64
    images takes more than one, 3 and three times that.
    """
    images, index = dataset.query.images, flat_index(gallery)
    pictures = encoded_pictures(images)
    service = Service(method, pictures, index, min(_NEIGHBOURS, len(gallery)), device)

    def timing(seconds: float, batch: int, warm_up: int = 3) -> Timing:
        return Timing(device, threads, _PACE * seconds, 500 if batch == 1 else 100, warm_up)

    found = [index_latency(gallery, timing(0.2, 1))]
    for batch in (1, _MANY):
        longer = 1.0 if batch == 1 else 1.5
        found += [
            decode_latency(pictures, timing(0.2 * longer, batch), batch=batch),
            preprocess_latency(images, timing(0.1 * longer, batch), batch=batch),
            embed_latency(method, images, timing(0.6 * longer, batch), batch=batch),
            search_latency(query, index, timing(0.2 * longer, batch), batch=batch, k=_NEIGHBOURS),
            # Its parts are warm by now, and a slow method's batch takes seconds.
            end_to_end_latency(service, timing(0.6 * longer, batch, warm_up=0), batch=batch),
        ]
    return found


def latency_columns(latencies: Sequence[Latency]) -> dict[str, float]:
    """Return the numbers of the tables: median, 95th and 99th percentile in milliseconds, and how many a second.

    The 95th percentile is left out below 20 samples, the 99th below 100.
    """
    columns = {}
    for one in latencies:
        name = "search" if _name(one) == "search_1" else _name(one)
        columns[f"{name}_median_ms"] = one.median_ms
        for percent, fewest in _FEWEST.items():
            if len(one.samples_ns) >= fewest:
                columns[f"{name}_p{percent}_ms"] = one.percentile_ms(percent)
        columns[f"{name}_per_second"] = one.per_second
    return columns


def save_latencies(files: FileWriter, latencies: Sequence[Latency]) -> None:
    """Write ``latency.npz``: int64 nanoseconds of every timed call, ``embed_1``, ``embed_64``, ``search_1``, ..."""
    arrays = {_name(one): np.array(one.samples_ns, np.int64) for one in latencies}
    files.write("latency.npz", packed_arrays(arrays))


def counted_costs(
    method: Method,
    embedder: Method,
    dataset: Dataset,
    embedding_dim: int,
    *,
    device: torch.device,
    threads: int,
    views: int = 1,
) -> Costs:
    """Return what is counted and not timed.

    method: as fitted, which has the network; embedder: what embeds, the same or compiled by an engine, or both views of
    an image; views: how many of them.
    """
    flops = embedding_flops(method, dataset.shape, device)
    peak = peak_embed_bytes(embedder, dataset.query.images, device=device, batch=_MANY, threads=threads)
    return Costs(
        embedding_dim=embedding_dim,
        bytes_per_vector=4 * embedding_dim,
        n_parameters=parameters_of(method),
        flops=None if flops is None else views * flops,
        network=network_digest(method, dataset.shape, device),
        peak_embed_mb=None if peak is None else round(peak / 2**20, 1),
    )


def encoded_pictures(images: Images) -> Pictures:
    """Return a few images as PNG files in memory, and what decodes them: for images whose files are not at hand."""
    rows = np.arange(min(len(images), _PICTURES), dtype=np.int64)
    encoded = tuple(_png(pixels) for pixels in images.take(rows))
    shape = images.shape
    decode = partial(decode_picture, size=(shape.height, shape.width), resize="crop")
    return Pictures(encoded, decode, shape, PICTURES_TIMED)


def _png(pixels: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(file, "PNG")
    return file.getvalue()


def _name(one: Latency) -> str:
    """Return a measurement's name; an index is built of the whole gallery, whose size is not part of the name."""
    return one.what if one.what == "index_build" else f"{one.what}_{one.batch}"
