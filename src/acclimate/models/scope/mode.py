"""Train or eval mode, module by module."""

from __future__ import annotations

from typing import Literal

from torch import nn

from acclimate.models.heads import own_head
from acclimate.models.scope.terms import keeps_statistics

BatchNormStatistics = Literal["adapt", "frozen"]


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
