"""Where features are taken from a network (layers, and how their positions are pooled), and what stands on top.

A head is described here as recipes and weights files say it; ``heads`` builds it. No torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from acclimate.errors import ModelError, unknown

LAST: Final = "last"
DEFAULT: Final = "default"
POOLINGS: Final = (DEFAULT, "cls", "mean", "cls+mean")
Family = Literal["batch-norm", "transformer", "other"]


@dataclass(frozen=True)
class Outline:
    """What can be said of a network without running it: asked once, and remembered with the name of its weights.

    Attributes
    ----------
    kind
        Name of its class.
    parameters
        Their number, without a classifier.
    layers
        Names of the layers that features can be taken from, the first first; empty where the network names none.
    pooling
        What ``default`` means below the last layer.
    """

    kind: str
    parameters: int
    family: Family
    layers: tuple[str, ...]
    class_token: bool
    pooling: Literal["cls", "mean"]

    def layer_names(self) -> tuple[str, ...]:
        """Return the names of the layers, or raise ``ModelError`` where the network names none."""
        return require_layers(self.layers, self.kind)


def require_layers(layers: tuple[str, ...], kind: str) -> tuple[str, ...]:
    """Return the layers of a network of some kind, or raise ``ModelError`` where it names none."""
    if not layers:
        raise ModelError(
            f"{kind} does not say where its layers are (timm's feature_info); expected a timm network such as a "
            "ResNet, ConvNeXt or ViT, or layer 'last'"
        )
    return layers


@dataclass(frozen=True)
class Tap:
    """Where features are taken.

    Raises ModelError for an unknown pooling, or a count that is no number of layers.

    Attributes
    ----------
    layer
        ``last``: the network's output before its head. A layer's name or its number from 0, negative from the end.
        ``last:K``: the K last layers, one after the other.
    pooling
        ``default``: as the network does it, which of a layer below the last is its class token or else the mean.
        ``cls``: the class token. ``mean``: over all positions, without class and register tokens. ``cls+mean``: one
        after the other, the mean of the last layer only (as in DINOv2's linear evaluation).
    """

    layer: str = LAST
    pooling: str = DEFAULT

    def __post_init__(self) -> None:
        if self.pooling not in POOLINGS:
            raise ModelError(unknown("pooling", self.pooling, POOLINGS))
        if self.layer.startswith("last:") and not re.fullmatch("last:[1-9][0-9]*", self.layer):
            raise ModelError(f"got layer '{self.layer}'; expected last:K with K of at least 1, such as last:4")

    def __str__(self) -> str:
        """Return how rows and caches name it."""
        return DEFAULT if self == Tap() else f"{self.layer}/{self.pooling}"

    def on(self, outline: Outline) -> Tap:
        """Return the same with the layer's name in the place of its number, and without ``default`` below the last.

        Raises ModelError when the network has no such layer (the nearest is named), no class token, or names no layers.
        """
        if self == Tap():
            return self
        pooling = outline.pooling if self.pooling == DEFAULT else self.pooling
        if "cls" in pooling and not outline.class_token:
            raise ModelError(f"got pooling '{pooling}', but {outline.kind} has no class token; expected mean")
        pooled = replace(self, pooling=pooling)
        return pooled if self.layer == LAST else replace(pooled, layer=self._layer_on(outline))

    def _layer_on(self, outline: Outline) -> str:
        names, layer = outline.layer_names(), self.layer
        if layer.startswith("last:"):
            if len(self.indices(names)) < _count(layer):
                raise ModelError(f"got layer '{layer}', but {outline.kind} has {len(names)} layers")
            return layer
        if re.fullmatch("-?[0-9]+", layer) and -len(names) <= int(layer) < len(names):
            return names[int(layer)]
        if layer not in names:
            raise ModelError(unknown("layer", layer, names) + f", a number below {len(names)}, last or last:K")
        return layer

    def indices(self, names: Sequence[str]) -> list[int]:
        """Return the numbers of the layers that it reads, in their order; none for ``last``."""
        if self.layer == LAST:
            return []
        if self.layer.startswith("last:"):
            return list(range(len(names)))[-_count(self.layer) :]
        return [names.index(self.layer)]


def _count(layer: str) -> int:
    return int(layer.removeprefix("last:"))


KINDS: Final = ("linear", "bn+linear", "mlp")
NORMALIZE: Final = ("none", "l2", "zscore")
_LAYERS: Final = re.compile(r"^([1-9]\d{0,2})(\+avg)?$")


@dataclass(frozen=True)
class HeadSpec:
    """What stands on top of a backbone.

    Attributes
    ----------
    layers
        Inputs, such as ``4+avg``: the last 4 blocks, and the mean over positions of the last; empty: timm's pooling.
    rates
        Factors of the learning rate, one classifier for each and for each of ``layers``; empty: one classifier.
    """

    kind: str = "linear"
    normalize: str = "none"
    layers: tuple[str, ...] = ()
    rates: tuple[float, ...] = ()

    @property
    def plain(self) -> bool:
        """Whether it is timm's own linear classifier."""
        return self == HeadSpec()

    @property
    def several(self) -> bool:
        """Whether several classifiers train at once, of which validation chooses one."""
        return bool(self.rates) or len(self.layers) > 1


def parse_layers(text: str) -> tuple[int, bool]:
    """Read ``4`` or ``4+avg``: how many of the last blocks, and whether the mean over positions is joined.

    Raises
    ------
    ValueError
        For anything else.
    """
    match = _LAYERS.match(text)
    if not match:
        raise ValueError(f"got layers '{text}'; expected a number of last blocks such as '4', or '4+avg'")
    return int(match[1]), bool(match[2])


def read_card(card: Mapping[str, Any]) -> HeadSpec:
    """Return the head that a weights file speaks of; the plain one where it says nothing.

    Raises
    ------
    ModelError
        When it says what no head is.
    """
    kind, normalize = card.get("kind", "linear"), card.get("normalize", "none")
    layers = tuple(str(text) for text in card.get("layers", ()))
    if kind not in KINDS or normalize not in NORMALIZE or not all(_LAYERS.match(text) for text in layers):
        raise ModelError(f"the weights' header is damaged: no head is {dict(card)!r}")
    return HeadSpec(kind, normalize, layers)
