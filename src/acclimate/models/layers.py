"""Where features are taken from a network: which layer or layers, and how their positions are pooled.

Several layers come from one forward pass. Layers are those that timm names in ``feature_info``: blocks of a
transformer, stages of a convolutional network. As in DINOv2's ``get_intermediate_layers``, the final norm of a
transformer is applied to each of its blocks.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from acclimate.errors import ModelError, unknown
from acclimate.models.network import feature_width

LAST: Final = "last"
DEFAULT: Final = "default"
POOLINGS: Final = (DEFAULT, "cls", "mean", "cls+mean")
# Widths of networks that live: a study asks for the same one at every cell, and each answer costs a forward pass.
_WIDTHS: Final[WeakKeyDictionary[nn.Module, dict[tuple[int, int], int]]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Tap:
    """Where features are taken.

    Attributes
    ----------
    layer
        ``last``: the network's output before its head. A layer's name or its number from 0, negative from the end.
        ``last:K``: the K last layers, one after the other.
    pooling
        ``default``: as the network does it, which of a layer below the last is its class token or else the mean.
        ``cls``: the class token. ``mean``: over all positions, without class and register tokens. ``cls+mean``: one
        after the other, the mean of the last layer only (as in DINOv2's linear evaluation).

    Raises
    ------
    ModelError
        For an unknown pooling, or a count that is no number of layers.
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

    def of(self, network: nn.Module) -> Tap:
        """Return the same with the layer's name in the place of its number, and without ``default`` below the last.

        Raises
        ------
        ModelError
            When the network has no such layer (the nearest is named), no class token, or names no layers.
        """
        if self == Tap():
            return self
        pooling = _default_pooling(network) if self.pooling == DEFAULT else self.pooling
        if "cls" in pooling and not _has_class_token(network):
            raise ModelError(f"got pooling '{pooling}', but {type(network).__name__} has no class token; expected mean")
        found = replace(self, pooling=pooling)
        if self.layer == LAST:
            return found
        names = layer_names(network)
        if self.layer.startswith("last:"):
            if len(found.indices(names)) < _count(self.layer):
                raise ModelError(f"got layer '{self.layer}', but {type(network).__name__} has {len(names)} layers")
            return found
        if re.fullmatch("-?[0-9]+", self.layer) and -len(names) <= int(self.layer) < len(names):
            return replace(found, layer=names[int(self.layer)])
        if self.layer not in names:
            raise ModelError(unknown("layer", self.layer, names) + f", a number below {len(names)}, last or last:K")
        return found

    def indices(self, names: Sequence[str]) -> list[int]:
        """Return the numbers of the layers that it reads, in their order; none for ``last``."""
        if self.layer == LAST:
            return []
        if self.layer.startswith("last:"):
            return list(range(len(names)))[-_count(self.layer) :]
        return [names.index(self.layer)]


def layer_names(network: nn.Module) -> tuple[str, ...]:
    """Return the names of the layers that features can be taken from, the first first.

    Raises
    ------
    ModelError
        For a network that does not say where they are.
    """
    info = getattr(network, "feature_info", None)
    if not isinstance(info, list) or not info or not all("module" in entry for entry in info):
        raise ModelError(
            f"{type(network).__name__} does not say where its layers are (timm's feature_info); expected a timm "
            "network such as a ResNet, ConvNeXt or ViT, or layer 'last'"
        )
    return tuple(str(entry["module"]) for entry in info)


def tapped(network: nn.Module, x: Tensor, taps: Sequence[Tap]) -> list[Tensor]:
    """Return features ``(n, d)`` of a normalised batch for each tap (of ``Tap.of``); all layers from one pass."""
    names = layer_names(network) if any(tap.layer != LAST for tap in taps) else ()
    wanted = sorted({index for tap in taps for index in tap.indices(names)})
    layers = dict(zip(wanted, _layers(network, x, wanted), strict=True)) if wanted else {}
    last = _last(network, x) if any(tap.layer == LAST and tap != Tap() for tap in taps) else None
    found = []
    for tap in taps:
        if tap == Tap():
            found.append(network(x).flatten(1))
        elif tap.layer == LAST and last is not None:
            found.append(_joined([last], tap.pooling))
        else:
            found.append(_joined([layers[index] for index in tap.indices(names)], tap.pooling))
    return found


def tapped_widths(network: nn.Module, size: tuple[int, int], taps: Sequence[Tap]) -> list[int]:
    """Return the width of each tap's features by running one black image."""
    others = [tap for tap in taps if tap != Tap()]
    found = {Tap(): _width(network, size)} if len(others) < len(taps) else {}
    if others:
        device = next((p.device for p in network.parameters()), torch.device("cpu"))
        with torch.inference_mode():
            features = tapped(network, torch.zeros(1, 3, *size, device=device), others)
        found |= {tap: one.shape[1] for tap, one in zip(others, features, strict=True)}
    return [found[tap] for tap in taps]


def _width(network: nn.Module, size: tuple[int, int]) -> int:
    known = _WIDTHS.setdefault(network, {})
    if size not in known:
        known[size] = feature_width(network, size)
    return known[size]


@dataclass(frozen=True, eq=False)
class _Pooled:
    """A layer's output, pooled: ``(n, d)`` each."""

    mean: Tensor
    cls: Tensor | None


def _joined(layers: Sequence[_Pooled], pooling: str) -> Tensor:
    if pooling == "mean":
        return torch.cat([layer.mean for layer in layers], dim=1)
    tokens = [layer.cls for layer in layers if layer.cls is not None]
    return torch.cat(tokens + [layers[-1].mean] * (pooling == "cls+mean"), dim=1)


def _last(network: nn.Module, x: Tensor) -> _Pooled:
    output = cast(Any, network).forward_features(x)
    if not isinstance(output, Tensor):
        raise ModelError(f"{type(network).__name__} gives no tensor of features; expected pooling 'default'")
    return _pooled(network, output)


def _layers(network: nn.Module, x: Tensor, wanted: list[int]) -> list[_Pooled]:
    """Return some layers' outputs from one forward pass, by timm's own method where there is one, else by hooks."""
    forward = getattr(network, "forward_intermediates", None)
    if forward is None:
        return [_pooled(network, output) for output in _hooked(network, x, wanted)]
    prefixes = "return_prefix_tokens" in inspect.signature(forward).parameters and _prefixes(network) > 0
    more = {"return_prefix_tokens": True} if prefixes else {}
    outputs = forward(x, indices=wanted, norm=True, intermediates_only=True, **more)
    if prefixes:
        return [_Pooled(maps.mean((2, 3)), tokens[:, 0]) for maps, tokens in outputs]
    return [_Pooled(maps.mean((2, 3)), None) for maps in outputs]


def _hooked(network: nn.Module, x: Tensor, wanted: list[int]) -> list[Tensor]:
    names, kept = layer_names(network), dict[int, Tensor]()

    def keep(index: int) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            kept[index] = output

        return hook

    handles = [network.get_submodule(names[index]).register_forward_hook(keep(index)) for index in wanted]
    try:
        cast(Any, network).forward_features(x)
    finally:
        for handle in handles:
            handle.remove()
    return [kept[index] for index in wanted]


def _pooled(network: nn.Module, output: Tensor) -> _Pooled:
    """Pool maps ``(n, d, h, w)`` (``(n, h, w, d)`` where timm says so), tokens ``(n, l, d)`` or vectors ``(n, d)``."""
    if output.ndim == 4:
        channels_last = getattr(network, "output_fmt", "NCHW") == "NHWC"
        return _Pooled(output.mean((1, 2) if channels_last else (2, 3)), None)
    if output.ndim == 3:
        first = output[:, 0] if _has_class_token(network) else None
        return _Pooled(output[:, _prefixes(network) :].mean(1), first)
    return _Pooled(output.flatten(1), None)


def _prefixes(network: nn.Module) -> int:
    return int(getattr(network, "num_prefix_tokens", 0))


def _has_class_token(network: nn.Module) -> bool:
    return getattr(network, "cls_token", None) is not None


def _default_pooling(network: nn.Module) -> str:
    token = getattr(network, "global_pool", None) == "token"
    return "cls" if token and _has_class_token(network) else "mean"


def _count(layer: str) -> int:
    return int(layer.removeprefix("last:"))
