"""The model card of an exported run: what it is, what was measured, how each file is loaded."""

from __future__ import annotations

import json

from bench.contract import RunResult
from bench.export.parity import Parity

_SHOWN = ("map", "map@10", "hit@1", "r_precision")


def model_card(result: RunResult, parity: Parity, licence: str, no_timm: str) -> str:
    """Return README.md with its front matter. licence: of the data, as upstream states it; no_timm: why not, or ""."""
    tags = ["image-feature-extraction", "image-retrieval", "simbench", *([] if no_timm else ["timm"])]
    front = ["---", f"library_name: {'onnx' if no_timm else 'timm'}", "tags:", *(f"- {tag}" for tag in tags), "---"]
    shape, spec = result.data.shape, result.spec
    options = " ".join(f"{name}={json.dumps(value)}" for name, value in spec.options.items())
    counts = ", ".join(f"{count:,} {part}" for part, count in result.data.counts.items())
    lines = [
        *front,
        "",
        f"# {result.method} on {result.dataset}",
        "",
        f"Turns pictures of {shape.height}x{shape.width} pixels, {shape.channels} channels, into unit vectors of "
        f"{result.embedding_dim} numbers; the inner product of two is their cosine.",
        "",
        "## Measured",
        "",
        f"Data set {result.dataset}, protocol {result.protocol}, {result.data.classes:,} classes; {counts}; "
        f"seed {result.seed}; run {result.key}.",
        "",
        "| metric | value | 95 % from | to |",
        "|---|---|---|---|",
        *_scores(result),
        "",
        *(f"- {flag}" for flag in result.flags),
        f"Licence of the data: {licence or 'not known'}. Licence of pretrained weights, where the run began from some: "
        "their makers'.",
        "",
        f"Options: `{options}`",
        "",
        "## Files",
        "",
        *_files(result, no_timm),
        "",
        f"`parity.json`: {parity.images:,} of {parity.queries:,} queries embedded again by model.onnx; largest "
        f"1 - cosine to the run's vectors {parity.largest_distance:.2g}, map {parity.map_written:.4f} for "
        f"{parity.map_kept:.4f}.",
        "",
        "## Use",
        "",
        *_use(no_timm),
        "",
    ]
    return "\n".join(lines)


def _scores(result: RunResult) -> list[str]:
    rows = []
    for name in _SHOWN:
        if name in result.scores:
            low, high = (f"{end:.4f}" for end in result.ci95[name]) if name in result.ci95 else ("", "")
            rows.append(f"| {name} | {result.scores[name]:.4f} | {low} | {high} |")
    return rows


def _files(result: RunResult, no_timm: str) -> list[str]:
    timm = (
        [f"- No files for timm: {no_timm}."]
        if no_timm
        else [
            "- `model.safetensors`, `config.json`: the backbone with this run's weights, for timm; its features are "
            "not yet the run's vectors.",
            "- `projection.safetensors`: what is behind it. With `mean`, features are brought to unit length first and "
            "the mean is taken out; then `weight`, `bias`, unit length.",
        ]
    )
    thresholds = ["- `thresholds.json`: from which similarity two pictures are the same, fitted on validation."]
    return [
        "- `model.onnx`: `pixels`, float32 (n, channels, height, width) in [0, 1], to `vectors`, unit float32 (n, d). "
        "Standardising, enlarging, projection and unit length are inside.",
        "- `preprocessor_config.json`: how a picture becomes those pixels.",
        *timm,
        "- `embeddings.parquet`: the gallery's ids, labels and vectors. `gallery.faiss`: the same vectors, exact.",
        *(thresholds if result.thresholds is not None else ["- No thresholds: the run fitted none."]),
        "- `load.py`: all of it without simbench.",
    ]


def _use(no_timm: str) -> list[str]:
    timm = [
        "",
        "By timm, the backbone alone (`load.embed_by_timm` gives the run's vectors):",
        "",
        "```python",
        "import timm",
        'model = timm.create_model("local-dir:PATH", pretrained=True, num_classes=0).eval()',
        "transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))",
        "```",
    ]
    return [
        "```python",
        "import load  # in this folder",
        'vectors = load.embed(load.pixels_of("picture.jpg"))',
        "hits = load.search(vectors, k=8)  # (similarity, label, id)",
        "```",
        *([] if no_timm else timm),
        "",
        "The gallery:",
        "",
        "```python",
        "import faiss, pyarrow.parquet as parquet",
        'items = parquet.read_table("embeddings.parquet")',
        'similarities, rows = faiss.read_index("gallery.faiss").search(vectors, 8)',
        "```",
    ]
