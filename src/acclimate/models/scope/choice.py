"""A parsed scope, what it selects in a network, and the mode of each module.

Each term of a scope is a function: (network, argument) -> names of parameters, as they are now.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, cast

from torch import nn

from acclimate.errors import ScopeError
from acclimate.models.adapters import adapter_names, attach, timm_names
from acclimate.models.heads import own_head
from acclimate.models.network import classifier_names
from acclimate.models.scope.text import Scope

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


BatchNormStatistics = Literal["adapt", "frozen"]


@dataclass(frozen=True)
class Trainable:
    """What a scope selects in one network.

    Attributes
    ----------
    names
        Trainable parameter names, in the network's order.
    backbone
        Number of trainable parameters below the classifier.
    trainable, total
        Numbers of trainable parameters and of all parameters, the classifier included.
    """

    names: tuple[str, ...]
    backbone: int
    trainable: int
    total: int

    def below(self, network: nn.Module) -> Trainable:
        """Return the same without the classifier, for objectives that do not use it."""
        names = tuple(name for name in self.names if name not in classifier_names(network))
        return Trainable(names, self.backbone, self.backbone, self.total)


def prepare(network: nn.Module, scope: Scope) -> None:
    """Attach the adapters that ``scope`` asks for; nothing happens without ``lora:R`` or where adapters are already.

    Their first weights come from torch's global generator. ``merge`` takes them away.

    Raises ScopeError when the other terms train every weight that could have an adapter, or one of them matches
    nothing.
    """
    if not scope.rank or adapter_names(network):
        return
    others = tuple(term for term in scope.terms if term[0] != "lora")
    if not attach(network, scope.rank, skip=_selected(network, others)):
        raise ScopeError(
            f"scope '{scope.text}' leaves 'lora:{scope.rank}' no weight of {type(network).__name__} to adapt; expected "
            "linear layers or convolutions below the classifier that no other term trains. Leave one of the terms out"
        )


def select(network: nn.Module, scope: Scope) -> Trainable:
    """Return what ``scope`` selects in ``network``; changes nothing. The names are those of ``named_parameters`` now.

    Raises ScopeError when a term matches no parameter of this network, ``stats`` no batch norm, or ``lora`` comes
    before ``prepare``.
    """
    selected = _selected(network, scope.terms)
    head = classifier_names(network)
    sizes = {name: p.numel() for name, p in network.named_parameters()}
    return Trainable(
        names=tuple(name for name in sizes if name in selected),
        backbone=sum(sizes[name] for name in selected - head),
        trainable=sum(sizes[name] for name in selected),
        total=sum(sizes.values()),
    )


def _selected(network: nn.Module, terms: Iterable[tuple[str, str]]) -> set[str]:
    selected: set[str] = set()
    for name, argument in terms:
        names = TERMS[name](network, argument)
        if not names and name != "stats":
            raise ScopeError(_nothing(network, f"{name}:{argument}" if argument else name))
        selected |= names
    return selected


def _nothing(network: nn.Module, term: str) -> str:
    names = list(timm_names(network).values())
    return (
        f"scope '{term}' matches no parameter of {type(network).__name__}; expected a match among its {len(names)} "
        f"parameters, such as '{names[0]}' or '{names[-1]}'"
    )


def freeze(network: nn.Module, trainable: Trainable) -> None:
    """Set ``requires_grad`` of every parameter: True for the trainable ones, False for the others."""
    selected = set(trainable.names)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in selected)


def set_mode(network: nn.Module, *, bn_stats: BatchNormStatistics = "adapt", statistics: bool = False) -> None:
    """Put the network into training with what ``freeze`` left trainable.

    A module is in train mode when a parameter in its subtree trains; a module without parameters (dropout, activation)
    follows the module it stands in. Everything else is in eval mode. ``bn_stats="frozen"`` keeps all batch norms below
    the classifier in eval mode even when their scale and shift train; ``statistics`` (``Scope.statistics``) puts those
    with running statistics into train mode even so and even when nothing trains.
    """
    if all(p.requires_grad for p in network.parameters()):
        network.train()  # also norms without parameters of their own
    else:
        network.training = _set_subtree(network, parent=False)
    head = own_head(network)
    if head is not None:  # its batch norm has no parameters, and no backbone's statistics
        head.train(any(p.requires_grad for p in head.parameters()))
    own = set() if head is None else {id(module) for module in head.modules()}
    for module in network.modules():
        if statistics and keeps_statistics(module):
            module.training = True
        elif bn_stats == "frozen" and isinstance(module, nn.modules.batchnorm._BatchNorm) and id(module) not in own:
            module.training = False


def _set_subtree(module: nn.Module, *, parent: bool) -> bool:
    parameters = list(module.parameters())
    trains = any(p.requires_grad for p in parameters)
    if not parameters:
        trains = parent and not any(True for _ in module.buffers())
    module.training = trains
    for child in module.children():
        _set_subtree(child, parent=trains)
    return trains
