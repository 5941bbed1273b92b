"""A parsed scope, and what it selects in a network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from acclimate.errors import ScopeError
from acclimate.models.adapters import adapter_names, attach, timm_names
from acclimate.models.network import classifier_names
from acclimate.models.scope.terms import TERMS
from acclimate.models.scope.text import Scope


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

    Raises
    ------
    ScopeError
        When the other terms train every weight that could have an adapter, or one of them matches nothing.
    """
    if not scope.rank or adapter_names(network):
        return
    others = tuple(term for term in scope.terms if term[0] != "lora")
    if not attach(network, scope.rank, skip=_chosen(network, others)):
        raise ScopeError(
            f"scope '{scope.text}' leaves 'lora:{scope.rank}' no weight of {type(network).__name__} to adapt; expected "
            "linear layers or convolutions below the classifier that no other term trains. Leave one of the terms out"
        )


def select(network: nn.Module, scope: Scope) -> Trainable:
    """Return what ``scope`` selects in ``network``; changes nothing. The names are those of ``named_parameters`` now.

    Raises
    ------
    ScopeError
        When a term matches no parameter of this network, ``stats`` no batch norm, or ``lora`` comes before ``prepare``.
    """
    chosen = _chosen(network, scope.terms)
    head = classifier_names(network)
    sizes = {name: p.numel() for name, p in network.named_parameters()}
    return Trainable(
        names=tuple(name for name in sizes if name in chosen),
        backbone=sum(sizes[name] for name in chosen - head),
        trainable=sum(sizes[name] for name in chosen),
        total=sum(sizes.values()),
    )


def _chosen(network: nn.Module, terms: Iterable[tuple[str, str]]) -> set[str]:
    chosen: set[str] = set()
    for name, argument in terms:
        found = TERMS[name](network, argument)
        if not found and name != "stats":
            raise ScopeError(_nothing(network, f"{name}:{argument}" if argument else name))
        chosen |= found
    return chosen


def _nothing(network: nn.Module, term: str) -> str:
    names = list(timm_names(network).values())
    return (
        f"scope '{term}' matches no parameter of {type(network).__name__}; expected a match among its {len(names)} "
        f"parameters, such as '{names[0]}' or '{names[-1]}'"
    )


def freeze(network: nn.Module, trainable: Trainable) -> None:
    """Set ``requires_grad`` of every parameter: True for the trainable ones, False for the others."""
    chosen = set(trainable.names)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in chosen)
