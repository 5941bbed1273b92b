"""Low-rank adapters (LoRA; Hu et al. 2021, arXiv 2106.09685): W + (alpha / r) B A, with W frozen and B, A small.

Equation 3 there: W is ``(o, i)``, B ``(o, r)`` starts at zero and A ``(r, i)`` is drawn at random (in the paper
Gaussian, here Kaiming-uniform, as PyTorch draws a linear layer), so that a network with fresh adapters is the network
it was. Here alpha = r, a scale of 1: the learning rate alone says how fast B A moves. A convolution's weight ``(o, i,
kh, kw)`` counts as the matrix ``(o, i * kh * kw)``.

The sum is formed before the layer runs (``torch.nn.utils.parametrize``), so fused attention and weight-standardised
convolutions need no code of their own: what is standardised is the sum. The price is that a step costs what training W
costs; what is small is the change and the optimizer's state.

An attached weight ``fc.weight`` has three names: ``fc.parametrizations.weight.original`` for W, which timm made, and
``fc.parametrizations.weight.0.a`` and ``.b`` for what is new. Networks with adapters can be deep-copied, but
``parametrize.cached`` must not be used on them: its cache would mix a copy up with its original.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from acclimate.models.network import classifier_names

_ORIGINAL = ".parametrizations.weight.original"


class LowRank(nn.Module):
    """The update of one weight.

    Attributes
    ----------
    a, b
        ``(r, i)``, Kaiming-uniform in +-1/sqrt(i) from torch's global generator of the CPU, and ``(o, r)``, zeros;
        r is cut to min(rank, o, i).
    """

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        rows, columns = len(weight), weight[0].numel()
        rank = min(rank, rows, columns)
        a = nn.init.kaiming_uniform_(torch.empty(rank, columns, device="cpu"), a=math.sqrt(5))
        self.a = nn.Parameter(a.to(weight.device, weight.dtype))
        self.b = nn.Parameter(torch.zeros(rows, rank, device=weight.device, dtype=weight.dtype))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the weight with its update, in the shape and memory format of the weight."""
        return weight + (self.b @ self.a).view(weight.shape)


def attach(network: nn.Module, rank: int, skip: Collection[str] = ()) -> tuple[str, ...]:
    """Put adapters below the classifier, on linear layers or on convolutions; return timm's names of their weights.

    Linear layers where these are in the majority (transformers, MLPs, ConvNeXt), else convolutions with ``groups == 1``
    (ResNet, EfficientNet, BiT; one linear layer in a head changes nothing). Weights in ``skip``, shared ones and those
    that have an adapter already are left alone. The new parameters require gradients; no other parameter's
    ``requires_grad`` changes.
    """
    head = classifier_names(network)
    uses = Counter(id(p) for _, p in network.named_parameters(remove_duplicate=False))
    layers = {
        f"{prefix}.weight": module
        for prefix, module in network.named_modules()
        if isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1)
        if f"{prefix}.weight" not in head and uses[id(module._parameters.get("weight"))] == 1
    }
    linear = sum(isinstance(layer, nn.Linear) for layer in layers.values())
    kind = nn.Linear if 2 * linear >= len(layers) else nn.Conv2d
    adapted = {name: layer for name, layer in layers.items() if isinstance(layer, kind) and name not in skip}
    for layer in adapted.values():
        parametrize.register_parametrization(layer, "weight", LowRank(layer.weight, rank))
    return tuple(adapted)


def adapter_names(network: nn.Module) -> set[str]:
    """Return the names of all adapters' parameters; empty for a network without adapters."""
    return {
        f"{prefix}.{name}"
        for prefix, module in network.named_modules()
        if isinstance(module, LowRank)
        for name, _ in module.named_parameters()
    }


def timm_names(network: nn.Module) -> dict[str, str]:
    """Return for every parameter that timm made its name now -> its name without adapters; adapters' are left out."""
    added = adapter_names(network)
    return {name: name.replace(_ORIGINAL, ".weight") for name, _ in network.named_parameters() if name not in added}


def merge(network: nn.Module) -> None:
    """Add every update to its weight and take the adapters away: timm's own classes, names and order of parameters.

    The function stays the same, to the bit in float32. The weights stay the same ``Parameter`` objects, with the
    ``requires_grad`` and the memory format they had. A network without adapters is left as it is.
    """
    for module in list(network.modules()):
        if parametrize.is_parametrized(module, "weight"):
            updates = cast(nn.ModuleList, cast(nn.ModuleDict, module.parametrizations)["weight"])
            if any(isinstance(update, LowRank) for update in updates):
                _merge_layer(module)


def _merge_layer(module: nn.Module) -> None:
    """Do what ``remove_parametrizations`` does, which cannot be used on a module that was deep-copied.

    It takes the property off the class, and the class is the same for all copies. It also puts the weight after the
    bias, which would renumber the parameters of an optimizer.
    """
    updates = cast(parametrize.ParametrizationList, cast(nn.ModuleDict, module.parametrizations)["weight"])
    original = cast(nn.Parameter, updates.original)
    with torch.no_grad():
        original.copy_(updates())
    module.__class__ = parametrize.type_before_parametrizations(module)
    del module.parametrizations
    others = dict(module._parameters)
    module._parameters.clear()
    module._parameters.update({"weight": original, **others})
