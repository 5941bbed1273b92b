"""LARS: SGD with momentum whose every step is as long as a thousandth of the weights it moves.

Source: You, Gitman and Ginsburg 2017, arXiv 1708.03888, algorithm 1, with momentum applied to the scaled step. As in
MAE and BYOL, what has one axis (biases, scale and shift of norms) is not scaled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

TRUST = 0.001  # length of a step, relative to that of the weights, at a learning rate of 1


class Lars(Optimizer):
    """One step: v <- m v + s (g + d w), w <- w - lr v, with s = trust |w| / |g + d w| for weights of two axes or more.

    Weights or gradients of length 0 are not scaled: a new classifier that is all zeros could never leave zero.
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
