"""The optimizer of a stage: what is new learns at the full rate, what is pretrained at its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from acclimate.errors import RecipeError
from acclimate.models.heads import heads_of
from acclimate.models.network import classifier_names
from acclimate.models.scope import blocks_of, is_norm
from acclimate.training.recipe import Stage

_Part = tuple[list[nn.Parameter], float]
TRUST = 0.001  # length of a step, relative to that of the weights, at a learning rate of 1


class Lars(Optimizer):
    """SGD with momentum whose every step is as long as a thousandth of the weights it moves.

    One step: v <- m v + s (g + d w), w <- w - lr v, with s = trust |w| / |g + d w| for weights of two axes or more.

    Source: You, Gitman and Ginsburg 2017, arXiv 1708.03888, algorithm 1, with momentum applied to the scaled step. As
    in MAE and BYOL, what has one axis (biases, scale and shift of norms) is not scaled; nor are weights or gradients of
    length 0: a new classifier that is all zeros could never leave zero.
    """

    def __init__(self, groups: list[dict[str, Any]], *, lr: float, momentum: float) -> None:
        super().__init__(groups, {"lr": lr, "momentum": momentum, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move every parameter that has a gradient."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._move(p, p.grad, group)

    def _move(self, p: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        change = gradient.add(p, alpha=group["weight_decay"])
        if p.ndim > 1:
            length, step = p.norm(), change.norm()
            change = change * torch.where((length > 0) & (step > 0), TRUST * length / step, 1.0)
        state = self.state[p]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(p)
        velocity = state["momentum"].mul_(group["momentum"]).add_(change)
        p.add_(velocity, alpha=-group["lr"])


def build_optimizer(network: nn.Module, extra: nn.ModuleDict, stage: Stage) -> torch.optim.Optimizer | None:
    """Return the optimizer of all that requires a gradient, in groups that carry their ``scale`` of the rate.

    Weight decay spares biases and normalisation layers, as He et al. 2019 (section 3.1) recommend. None where nothing
    requires a gradient.
    """
    spared = _without_decay(network) | _without_decay(extra)
    groups: list[dict[str, Any]] = []
    for parameters, scale in [*_new(network, extra), *_old(network, stage)]:
        trained = [p for p in parameters if p.requires_grad]
        for decay in dict.fromkeys((stage.weight_decay, 0.0)):  # one group where nothing decays: each takes time
            members = [p for p in trained if (0.0 if id(p) in spared else stage.weight_decay) == decay]
            if members:
                groups.append({"params": members, "scale": scale, "weight_decay": decay})
    if not groups:
        return None
    if stage.optimizer == "lars":
        return Lars(groups, lr=stage.lr, momentum=stage.momentum)
    fused = next(network.parameters()).device.type in ("cpu", "cuda")
    if stage.optimizer == "sgd":
        return torch.optim.SGD(
            groups, lr=stage.lr, momentum=stage.momentum, nesterov=stage.nesterov and stage.momentum > 0, fused=fused
        )
    return torch.optim.AdamW(groups, lr=stage.lr, fused=fused)


def _new(network: nn.Module, extra: nn.ModuleDict) -> list[_Part]:
    """Return the classifier and the objective's heads: at the full rate, or each classifier at its own."""
    several, head = heads_of(network), classifier_names(network)
    if several is not None:
        return [*several.groups(), (list(extra.parameters()), 1.0)]
    return [([p for name, p in network.named_parameters() if name in head] + list(extra.parameters()), 1.0)]


def _old(network: nn.Module, stage: Stage) -> list[_Part]:
    """Return what is pretrained, first block to last: each at ``layer_decay`` of the rate of the one above it.

    Raises RecipeError when the rate shall fall from block to block, and the network has no blocks that timm could
    count.
    """
    head = classifier_names(network)
    below = {name: p for name, p in network.named_parameters() if name not in head}
    if stage.layer_decay == 1:
        return [(list(below.values()), stage.backbone_lr)]
    if not hasattr(network, "group_matcher"):
        raise RecipeError(
            f"got layer_decay {stage.layer_decay}; {type(network).__name__} has no blocks that timm could count "
            "(group_matcher); leave layer_decay out"
        )
    block = blocks_of(network)
    order = sorted({block[name] for name in below}, reverse=True)
    return [
        ([p for name, p in below.items() if block[name] == place], stage.backbone_lr * stage.layer_decay**depth)
        for depth, place in enumerate(order, start=1)
    ][::-1]


def _without_decay(module: nn.Module) -> set[int]:
    biases = {id(p) for name, p in module.named_parameters() if name.rpartition(".")[2] == "bias"}
    return biases | {id(p) for part in module.modules() if is_norm(part) for p in part.parameters(recurse=False)}


def set_rate(optimizer: torch.optim.Optimizer | None, rate: float) -> None:
    """Set the learning rate of every group to ``rate`` times its own scale."""
    for group in optimizer.param_groups if optimizer else ():
        group["lr"] = rate * group["scale"]
