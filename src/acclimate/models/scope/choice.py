"""A parsed scope, what it selects in a network, and the mode of each module."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from torch import nn

from acclimate.errors import ScopeError
from acclimate.models.adapters import adapter_names, attach, timm_names
from acclimate.models.heads import own_head
from acclimate.models.network import classifier_names
from acclimate.models.scope.terms import TERMS, keeps_statistics
from acclimate.models.scope.text import Scope

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
