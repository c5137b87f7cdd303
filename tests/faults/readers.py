"""A tree of finished runs, and the commands that read it: what they answer must not change without a word."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from programs import run_simbench
from sklearn.datasets import load_digits

_WORDS = "run -d digits --protocol loo --limit 160 --epochs 1.1 -o batch_size=16 --threads 1 -q"
TRAINING = _WORDS.split()
METHODS = ("pixels", "autoencoder", "siamese_bce")
_WEIGHTS, _VECTORS = "weights.safetensors", "embeddings.safetensors"
_SHOWN = ("dataset", "map", "map@10", "hit@1", "mrr", "mean_rank", "map_ci95_low", "map_ci95_high", "bytes_per_vector")


@dataclass(frozen=True)
class Answer:
    """How a command ended.

    code: its exit code; numbers: what it answered, by the run that it says it of ("" where it is about one run);
    told: all else that it wrote.
    """

    code: int
    numbers: Mapping[str, str]
    told: str

    @property
    def crashed(self) -> bool:
        return "Traceback" in self.told or "please report" in self.told or self.code not in (0, 1, 2)


Reader = Callable[[Path], Answer]


def make_tree(folder: Path) -> Path:
    """Make runs of three methods with two seeds, a sweep, a folder of pictures, and the caches that belong to them."""
    pictures = folder / "pictures"
    digits = load_digits()
    for number in range(40):
        place = pictures / f"{digits.target[number]}"
        place.mkdir(parents=True, exist_ok=True)
        pixels = (digits.images[number] * 15).astype(np.uint8)
        Image.fromarray(pixels).resize((16, 16)).save(place / f"{number}.png")
    np.save(folder / "vectors.npy", np.eye(3, 128, dtype=np.float32))
    methods = [word for name in METHODS for word in ("-m", name)]
    _ask(folder, [*TRAINING, *methods, "--seeds", "0,1"]).check_returncode()
    (swept,) = folder.glob("runs/*/*/pixels/*/seed0")
    _ask(folder, ["robustness", str(swept.relative_to(folder)), "-q"]).check_returncode()
    shutil.rmtree(folder / "runs" / "report")
    return folder


def readers(tree: Path) -> dict[str, tuple[Reader, Sequence[str]]]:
    """Return the commands by name, each with the files that it reads, as patterns below the tree."""
    behind = ("run.json", "per_query.npz", "replicates.npz")
    painted, paired, plain = (next(tree.glob(f"runs/*/*/{name}/*/seed0")).relative_to(tree) for name in
                              ("autoencoder", "siamese_bce", "pixels"))  # fmt: skip
    everything = "runs/*/*/*/*/seed*"
    return {
        "tables": (_tables, [f"{everything}/{name}" for name in (*behind, "robustness.*")]),
        "page": (_page, [f"{everything}/{name}" for name in ("samples.npz", "history.csv", _VECTORS)]),
        "compare": (_said("compare", "pixels", "autoencoder", "--json"),
                    [f"runs/*/*/{method}/*/seed*/{name}" for method in METHODS[:2] for name in behind]),
        "rerank": (_said("rerank", f"{painted}"),
                   [f"{everything}/{name}" for name in (_VECTORS,)] + [f"{painted}/run.json"]),
        "search": (_said("search", "pictures/3/3.png", "--run", f"{paired}", "--json", "-q"),
                   [f"{paired.parent}/seed*/{name}" for name in (_WEIGHTS, _VECTORS, "per_query.npz")]),
        "decode": (_decoded(painted), [f"{painted.parent}/seed*/{_WEIGHTS}"]),
        "gallery": (_said("search", "pictures/3/3.png", "--run", f"{plain}", "--gallery", "pictures", "--json", "-q"),
                    ["cache/galleries/*"]),
        "decoded": (_on_pictures, ["cache/decoded/**/*"]),
        "resumed": (_resumed, ["runs/*/*/siamese_bce/*/seed1/checkpoints/*.safetensors"]),
    }  # fmt: skip


def places_of(tree: Path, patterns: Sequence[str]) -> list[Path]:
    """Return the files below a tree that patterns mean, relative to it, without locks and empty ones."""
    found = {path for pattern in patterns for path in tree.glob(pattern)}
    whole = sorted(path for path in found if path.is_file() and path.suffix != ".lock" and path.stat().st_size)
    return [path.relative_to(tree) for path in whole]


def scores_in(tree: Path, pattern: str) -> dict[str, str]:
    """Return the scores in the run.json files below a tree, as text by method and seed."""
    found = {}
    for path in tree.glob(pattern):
        content = json.loads(path.read_text(encoding="utf-8"))
        name = f"{content['spec']['method']}/{path.parent.parent.name}/{path.parent.name}"
        found[name] = json.dumps(content["scores"])
    return found


def _ask(tree: Path, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    places = {"SIMBENCH_CACHE": str(tree / "cache"), "OMP_NUM_THREADS": "1", "COLUMNS": "100"}
    return run_simbench(list(words), tree, places)


def _said(*words: str) -> Reader:
    def read(tree: Path) -> Answer:
        done = _ask(tree, words)
        untimed = re.sub(r'"\w+_ms": [\d.e-]+', "", done.stdout)
        return Answer(done.returncode, {"": untimed} if done.returncode == 0 else {}, done.stderr)

    return read


def _tables(tree: Path) -> Answer:
    done, rows = _ask(tree, ["leaderboard"]), dict[str, str]()
    written = tree / "runs" / "report" / "runs.csv"
    if done.returncode == 0:
        with written.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                rows[f"{row['method']}/{row['key']}/seed{row['seed']}"] = json.dumps([row[name] for name in _SHOWN])
        swept = tree / "runs" / "report" / "robustness.csv"
        if swept.is_file():
            (of,) = {f"{row['method']}/{row['key']}/" for row in csv.DictReader(swept.open(encoding="utf-8"))}
            rows[of] = swept.read_text(encoding="utf-8")
    shutil.rmtree(tree / "runs" / "report", ignore_errors=True)
    return Answer(done.returncode, rows, done.stderr)


def _page(tree: Path) -> Answer:
    done = _ask(tree, ["report"])
    written = tree / "runs" / "report" / "report.html"
    numbers = {"": hashlib.sha256(written.read_bytes()).hexdigest()} if done.returncode == 0 else {}
    shutil.rmtree(tree / "runs" / "report", ignore_errors=True)
    return Answer(done.returncode, numbers, done.stderr)


def _decoded(run: Path) -> Reader:
    def read(tree: Path) -> Answer:
        (tree / "decoded.png").unlink(missing_ok=True)
        done = _ask(tree, ["decode", "--run", str(run), "--vector", "vectors.npy", "--save", "decoded.png"])
        drawn = hashlib.sha256((tree / "decoded.png").read_bytes()).hexdigest() if done.returncode == 0 else ""
        return Answer(done.returncode, {"": drawn} if drawn else {}, done.stderr)

    return read


def _on_pictures(tree: Path) -> Answer:
    shutil.rmtree(tree / "fresh", ignore_errors=True)
    done = _ask(tree, ["run", "-m", "pixels", "-d", "pictures", "--protocol", "loo", "--runs", "fresh", "-q"])
    return Answer(done.returncode, scores_in(tree, "fresh/*/*/*/*/seed0/run.json"), done.stderr)


def _resumed(tree: Path) -> Answer:
    """The second half of a run: its training is done and kept, what follows is not."""
    (folder,) = tree.glob("runs/*/*/siamese_bce/*/seed1")
    (folder / "run.json").unlink()
    done = _ask(tree, [*TRAINING, "-m", "siamese_bce", "--seeds", "1"])
    shutil.rmtree(tree / "runs" / "report", ignore_errors=True)
    return Answer(done.returncode, scores_in(tree, "runs/*/*/siamese_bce/*/seed1/run.json"), done.stderr)
