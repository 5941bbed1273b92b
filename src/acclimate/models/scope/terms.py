"""The terms of a scope, each a function: (network, argument) -> names of parameters, as they are now."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, cast

from torch import nn

from acclimate.errors import ScopeError
from acclimate.models.adapters import adapter_names, timm_names
from acclimate.models.network import classifier_names

_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)
_PAPER = re.compile(r"^(bn1|layer\d+\.\d+\.bn[23])\.(weight|bias)$")
_NO_NAME = "-"  # no parameter is called so: timm puts it where it puts what no pattern matches


def is_norm(module: nn.Module) -> bool:
    """Whether a module is a normalisation layer: torch's own kinds and their subclasses, or named so (``RmsNorm``)."""
    return isinstance(module, _NORMS) or "norm" in type(module).__name__.lower()


def _norm(network: nn.Module, _: str) -> set[str]:
    norms = [(prefix, module) for prefix, module in network.named_modules() if is_norm(module)]
    return {f"{prefix}.{name}" for prefix, module in norms for name, _ in module.named_parameters(recurse=False)}


def _norm_paper(network: nn.Module, _: str) -> set[str]:
    names = {name for name, plain in timm_names(network).items() if _PAPER.match(plain)}
    if not names:
        raise ScopeError(
            f"scope 'norm:paper' is defined for ResNets with batch norm (bn1, layerN.M.bn2, layerN.M.bn3); "
            f"{type(network).__name__} has none of these. Its analogue here is 'head+norm' (protocol 'norm/all')"
        )
    return names


def _norm_batch(network: nn.Module, _: str) -> set[str]:
    batch = {prefix for prefix, m in network.named_modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)}
    names = {name for name in _norm(network, "") if name.rpartition(".")[0] in batch}
    if not names:
        raise ScopeError(
            f"scope 'norm:batch' trains batch norms; {type(network).__name__} has none. Its analogue here is "
            "'head+norm' (protocol 'norm/all'), which trains layer and group norms too"
        )
    return names


def _last(network: nn.Module, argument: str) -> set[str]:
    if not hasattr(network, "group_matcher"):
        raise ScopeError(
            f"scope 'last:{argument}' needs timm's group_matcher, which {type(network).__name__} lacks; name the "
            "parameters with 're:PATTERN' instead"
        )
    layers = blocks_of(network)
    wanted = set(sorted(set(layers.values()))[-int(argument) :])
    return {name for name, layer in layers.items() if layer in wanted}


def blocks_of(network: nn.Module) -> dict[str, int]:
    """Return the block of every parameter below the classifier, by timm's numbers.

    What timm's patterns leave out stands between the blocks and the classifier, such as the last norm of BiT and
    ConvNeXt. It is no block of its own: it goes with the last one.
    """
    from timm.models._manipulate import group_with_matcher  # where there is a network of timm's, timm is imported

    head, names = classifier_names(network), timm_names(network)
    matcher = cast(Any, network).group_matcher(coarse=True)
    layer_of = group_with_matcher(((name, None) for name in [*names.values(), _NO_NAME]), matcher, reverse=True)
    layers = {name: layer_of[plain] for name, plain in names.items() if name not in head and plain in layer_of}
    outside = layer_of[_NO_NAME]
    last = max((layer for layer in layers.values() if layer != outside), default=outside)
    return {name: last if layer == outside else layer for name, layer in layers.items()}


def _lora(network: nn.Module, argument: str) -> set[str]:
    names = adapter_names(network)
    if not names:
        raise ScopeError(
            f"scope 'lora:{argument}' finds no adapters in {type(network).__name__}; put them there with "
            "acclimate.models.scope.prepare before select"
        )
    return names


def _stats(network: nn.Module, _: str) -> set[str]:
    if not any(keeps_statistics(module) for module in network.modules()):
        raise ScopeError(
            f"scope 'stats' needs batch norms with running statistics; {type(network).__name__} has none (group and "
            "layer norms keep no statistics). Take 'norm' to train their scale and shift"
        )
    return set()


def keeps_statistics(module: nn.Module) -> bool:
    """Whether a module is a batch norm with running statistics."""
    return isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is not None


def _regex(network: nn.Module, argument: str) -> set[str]:
    pattern = re.compile(argument)
    return {name for name, plain in timm_names(network).items() if pattern.search(plain)}


TERMS: dict[str, Callable[[nn.Module, str], set[str]]] = {
    "all": lambda network, _: set(timm_names(network)),
    "bias": lambda network, _: {name for name in timm_names(network) if name.rpartition(".")[2] == "bias"},
    "head": lambda network, _: classifier_names(network),
    "last": _last,
    "lora": _lora,
    "norm": _norm,
    "norm:batch": _norm_batch,
    "norm:paper": _norm_paper,
    "re": _regex,
    "stats": _stats,
}
