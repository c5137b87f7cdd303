"""What every encoder is: images to raw vectors, and which of its weights it brought along; making one by its name."""

from __future__ import annotations

from typing import TypeVar

from torch import nn

from bench.contract import ImageShape, MethodError, Size, UsageError
from bench.plugins import ENCODER
from bench.registry import get_plugin, require_known
from bench.training.encoders.zoo import full_encoder

E = TypeVar("E", bound="Encoder")
WEIGHT_WORDS = ("pretrained", "none")  # what an option ``weights`` may say in place of a file


class Encoder(nn.Module):
    """What trained methods train: images to raw vectors, made as ``cls(shape, dim)``.

    ``forward`` takes float ``(n, channels, height, width)`` and returns float ``(n, dim)``, of any scale.

    Attributes:
        standardises: whether it expects raw pixels in [0, 1] and standardises them itself; otherwise it is given pixels
            standardised by the training images' mean and spread.
    """

    standardises = False

    @classmethod
    def make(cls: type[E], shape: ImageShape, dim: int, *, model: str, weights: str) -> E:
        """Return a fresh encoder; by default one without choice of model and without weights of its own.

        Args:
            shape: of the images.
            dim: length of a vector.
            model: what ``-o encoder=NAME/MODEL`` says behind the slash, "" for nothing.
            weights: the method's option ``weights``: ``pretrained``, ``none``, or a file.

        Raises:
            UsageError: there is no such model.
        """
        if model:
            raise UsageError(f"the encoder {cls.__name__} has no models to choose from, got {model!r}")
        return cls(shape, dim)

    def add_hidden(self, width: int) -> None:
        """Put a hidden layer behind the pretrained part. Raises UsageError where, as by default, there is no place."""
        raise UsageError(f"the encoder {type(self).__name__} has no place for a hidden layer of {width}; say hidden=0")

    @classmethod
    def native_size(cls, model: str) -> Size | None:
        """Return the (height, width) that pretrained weights of a model were made for; None where any will do.

        An encoder with such a size takes it as the keyword ``size`` of ``make``, to work at another.
        """
        return None

    def pretrained(self) -> list[nn.Parameter]:
        """Return the parameters that were trained elsewhere; none by default."""
        return []

    def hold(self, still: bool) -> None:
        """Keep pretrained weights still, with no gradient computed for them, or let them move."""
        for parameter in self.pretrained():
            parameter.requires_grad_(not still)

    def parts(self, tuned: int = 0) -> tuple[nn.Module, nn.Module] | None:
        """Return the part that stands still and the one that learns, which make up ``forward``; None where all learns.

        The first is what is pretrained, but for its last ``tuned`` stages; its parameters take no gradients. What it
        makes of an image, float ``(n, numbers)``, stays the same, and need not be computed twice. Raises UsageError
        for stages that it has not.
        """
        if tuned:
            raise UsageError(f"the encoder {type(self).__name__} has no pretrained stages; say tuned_stages=0")
        return None


def build_encoder(
    name: str,
    shape: ImageShape,
    dim: int,
    *,
    weights: str = "pretrained",
    size: int | None = None,
    hidden: int = 0,
) -> Encoder:
    """Return a fresh encoder for images of ``shape`` by its name, or ``name/model`` where it has models, as timm's has.

    weights: as ``Encoder.make`` takes them. size: the side of the images at which one with a size of its own is to work
    instead. hidden: width of a hidden layer, 0 for none. Raises UsageError with the likeliest name if there is none.
    """
    cls, model = _encoder_class(name)
    own = {} if size is None or cls.native_size(model) is None else {"size": size}
    made: Encoder = cls.make(shape, dim, model=model, weights=weights, **own)
    if hidden:
        made.add_hidden(hidden)
    return made


def known_encoder(name: str) -> str:
    """Return an encoder's full name, ``timm/`` and timm's own for an alias; UsageError if there is no such encoder."""
    require_known(ENCODER, name.partition("/")[0])
    return full_encoder(name)


def encoder_size(name: str) -> Size | None:
    """Return the (height, width) that an encoder's pretrained weights were made for; None where any will do."""
    cls, model = _encoder_class(name)
    return cls.native_size(model)


def _encoder_class(name: str) -> tuple[type[Encoder], str]:
    plugin, _, model = name.partition("/")
    cls = get_plugin(ENCODER, plugin)
    if not issubclass(cls, Encoder):
        raise MethodError(f"the encoder {plugin} is no subclass of bench.Encoder")
    return cls, model
