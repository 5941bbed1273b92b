"""Features of layers: several from one forward pass, each pooled as its tap says.

Layers are those that timm names in ``feature_info``: blocks of a transformer, stages of a convolutional network. As in
DINOv2's ``get_intermediate_layers``, the final norm of a transformer is applied to each of its blocks.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from acclimate.errors import ModelError
from acclimate.models.network import black_image, feature_width, has_class_token, layer_names
from acclimate.models.taps import LAST, Tap

# Widths of networks that live: a study asks for the same one at every cell, and each answer costs a forward pass.
_WIDTHS: Final[WeakKeyDictionary[nn.Module, dict[tuple[int, int], int]]] = WeakKeyDictionary()


def tapped(network: nn.Module, x: Tensor, taps: Sequence[Tap]) -> list[Tensor]:
    """Return features ``(n, d)`` of a normalised batch for each tap (of ``Backbone.tap``); all layers from one pass."""
    names = layer_names(network) if any(tap.layer != LAST for tap in taps) else ()
    wanted = sorted({index for tap in taps for index in tap.indices(names)})
    layers = dict(zip(wanted, _layers(network, x, wanted), strict=True)) if wanted else {}
    last = _last(network, x) if any(tap.layer == LAST and tap != Tap() for tap in taps) else None
    features = []
    for tap in taps:
        if tap == Tap():
            features.append(network(x).flatten(1))
        elif tap.layer == LAST and last is not None:
            features.append(_joined([last], tap.pooling))
        else:
            features.append(_joined([layers[index] for index in tap.indices(names)], tap.pooling))
    return features


def tapped_widths(network: nn.Module, size: tuple[int, int], taps: Sequence[Tap]) -> list[int]:
    """Return the width of each tap's features by running one black image."""
    others = [tap for tap in taps if tap != Tap()]
    widths = {Tap(): _width(network, size)} if len(others) < len(taps) else {}
    if others:
        with torch.inference_mode():
            features = tapped(network, black_image(network, size), others)
        widths |= {tap: columns.shape[1] for tap, columns in zip(others, features, strict=True)}
    return [widths[tap] for tap in taps]


def _width(network: nn.Module, size: tuple[int, int]) -> int:
    widths = _WIDTHS.setdefault(network, {})
    if size not in widths:
        widths[size] = feature_width(network, size)
    return widths[size]


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
    names, outputs = layer_names(network), dict[int, Tensor]()

    def keep(index: int) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            outputs[index] = output

        return hook

    handles = [network.get_submodule(names[index]).register_forward_hook(keep(index)) for index in wanted]
    try:
        cast(Any, network).forward_features(x)
    finally:
        for handle in handles:
            handle.remove()
    return [outputs[index] for index in wanted]


def _pooled(network: nn.Module, output: Tensor) -> _Pooled:
    """Pool maps ``(n, d, h, w)`` (``(n, h, w, d)`` where timm says so), tokens ``(n, l, d)`` or vectors ``(n, d)``."""
    if output.ndim == 4:
        channels_last = getattr(network, "output_fmt", "NCHW") == "NHWC"
        return _Pooled(output.mean((1, 2) if channels_last else (2, 3)), None)
    if output.ndim == 3:
        first = output[:, 0] if has_class_token(network) else None
        return _Pooled(output[:, _prefixes(network) :].mean(1), first)
    return _Pooled(output.flatten(1), None)


def _prefixes(network: nn.Module) -> int:
    return int(getattr(network, "num_prefix_tokens", 0))
