"""Which layers are looked at: every norm and the output of every block, under timm's own names."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from acclimate.models.scope import is_norm

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@dataclass(frozen=True)
class Place:
    """One layer of a network."""

    name: str  # timm's name of the module
    kind: str  # ``norm`` or ``block``
    # whether channels are axis 1 of its output; else they are the last one, as they always are of tokens
    channels_first: bool


def places(network: nn.Module) -> tuple[Place, ...]:
    """Return the norms and blocks of a network, in the order of its modules.

    A block is what repeats: a member of a sequence (or of what timm calls a stage) with norms inside it, and with no
    such member inside itself. That is a residual block in ResNet and ConvNeXt, a transformer block in ViT and Swin.
    """
    blocks = _blocks(network)
    last = str(getattr(network, "output_fmt", "")).upper().endswith("NHWC")  # timm's word for channels at the end
    layers = []
    for name, module in network.named_modules():
        if is_norm_layer(module):
            layers.append(Place(name, "norm", _norm_is_first(module)))
        elif name in blocks:
            layers.append(Place(name, "block", not last))
    return tuple(layers)


def is_norm_layer(module: nn.Module) -> bool:
    """Whether a module is a norm itself, and not what is called after the norm inside it, such as timm's heads."""
    inside = (inner for inner in module.modules() if inner is not module)
    return is_norm(module) and not any(True for inner in inside for _ in inner.parameters())


def _blocks(network: nn.Module) -> set[str]:
    modules = dict(network.named_modules())
    members = {name for name, module in modules.items() if name and _is_block(module, modules[name.rpartition(".")[0]])}
    return {name for name in members if not any(other.startswith(f"{name}.") for other in members)}


def _is_block(module: nn.Module, parent: nn.Module) -> bool:
    """Whether a member of what repeats has norms inside and is no mere sequence, which leads from stage to stage."""
    repeats = isinstance(parent, _CONTAINERS) or type(parent).__name__.endswith("Stage")
    return (
        repeats
        and not is_norm_layer(module)
        and not isinstance(module, _CONTAINERS)
        and any(is_norm_layer(inner) for inner in module.modules() if inner is not module)
    )


def _norm_is_first(module: nn.Module) -> bool:
    """Whether a norm's channels are axis 1: so for batch and group norm, and for timm's layer norms called ``2d``."""
    return isinstance(module, nn.modules.batchnorm._NormBase | nn.GroupNorm) or "2d" in type(module).__name__


def by_channel(output: Tensor, place: Place) -> Tensor:
    """Return a layer's output as ``(n, positions, C)``: pixels, tokens and attention heads are all positions."""
    if output.ndim == 2:
        return output[:, None]
    tokens = output.ndim == 3 and place.kind == "block"  # (n, tokens, C), whatever else the network's format is
    if place.channels_first and not tokens:
        return output.flatten(2).transpose(1, 2)
    return output.flatten(1, -2)


def group_of(layer: str) -> str:
    """Return the part of the network that a layer belongs to.

    Examples
    --------
    >>> [group_of(name) for name in ("layer4.1.bn2", "stages.3.blocks.0.norm", "blocks.7.norm1", "bn1", "norm")]
    ['layer4', 'stages.3', 'blocks.7', 'bn1', 'norm']
    """
    parts = layer.split(".")
    end = next((i for i, part in enumerate(parts) if part[-1:].isdigit()), len(parts) - 1)
    return ".".join(parts[: end + 1])
