"""The optimizer of a stage: what is new learns at the full rate, what is pretrained at its own."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from acclimate.network import classifier_names
from acclimate.recipe import Stage
from acclimate.scope import is_norm


def build_optimizer(network: nn.Module, extra: nn.ModuleDict, stage: Stage) -> torch.optim.Optimizer | None:
    """Return the optimizer of all that requires a gradient, in groups that carry their ``scale`` of the rate.

    Weight decay spares biases and normalisation layers, as He et al. 2019 (section 3.1) recommend. None where nothing
    requires a gradient.
    """
    head = classifier_names(network)
    new = [p for name, p in network.named_parameters() if name in head] + list(extra.parameters())
    old = [p for name, p in network.named_parameters() if name not in head]
    spared = _without_decay(network) | _without_decay(extra)
    groups: list[dict[str, Any]] = []
    parts: list[tuple[list[nn.Parameter], float]] = [(new, 1.0), (old, stage.backbone_lr)]
    for parameters, scale in parts:
        trained = [p for p in parameters if p.requires_grad]
        for decays in (True, False):
            chosen = [p for p in trained if (id(p) not in spared) == decays]
            decay = stage.weight_decay if decays else 0.0
            if chosen:
                groups.append({"params": chosen, "scale": scale, "weight_decay": decay})
    if not groups:
        return None
    if stage.optimizer == "lars":
        from lightly.utils.lars import LARS

        lars: torch.optim.Optimizer = LARS(groups, lr=stage.lr, momentum=0.9)
        return lars
    fused = next(network.parameters()).device.type in ("cpu", "cuda")
    if stage.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=stage.lr, momentum=0.9, nesterov=True, fused=fused)
    return torch.optim.AdamW(groups, lr=stage.lr, fused=fused)


def _without_decay(module: nn.Module) -> set[int]:
    found = {id(p) for name, p in module.named_parameters() if name.rpartition(".")[2] == "bias"}
    for part in module.modules():
        if is_norm(part):
            found |= {id(p) for p in part.parameters(recurse=False)}
    return found


def set_rate(optimizer: torch.optim.Optimizer | None, rate: float) -> None:
    """Set the learning rate of every group to ``rate`` times its own scale."""
    for group in optimizer.param_groups if optimizer else ():
        group["lr"] = rate * group["scale"]
