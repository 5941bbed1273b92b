"""Backward passes and optimizer steps in the precision of a run.

In float16 the loss is scaled up before its backward pass and the gradients down after it, since small gradients are
zero in float16 (Micikevicius et al. 2018, arXiv 1710.03740, section 3.2). A step whose gradients are not finite is left
out, and the scale is halved.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from acclimate.models import Precision, autocast


class Arithmetic:
    """How one stage computes.

    Attributes
    ----------
    device
        Where the network is.
    precision
        Of forward passes.
    """

    def __init__(self, device: str, precision: Precision) -> None:
        self.device = torch.device(device, 0) if device == "cuda" else torch.device(device)
        self.precision = precision
        self.scaler = torch.amp.GradScaler(device) if precision == "16-mixed" else None

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context of a forward pass."""
        return autocast(self.precision, self.device.type)

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a loss."""
        scaled = loss if self.scaler is None else self.scaler.scale(loss)
        scaled.backward()  # type: ignore[no-untyped-call]  # torch gives it no types

    def step(self, optimizer: torch.optim.Optimizer, *, clip: float) -> None:
        """Move the weights; ``clip`` is the largest norm of all gradients together, 0 for any."""
        if self.scaler is not None:
            self.scaler.unscale_(optimizer)
        if clip:
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, clip, error_if_nonfinite=False)
        if self.scaler is None:
            optimizer.step()
        else:
            self.scaler.step(optimizer)
            self.scaler.update()

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs; empty without float16."""
        return {} if self.scaler is None else self.scaler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with the scale of an interrupted run."""
        if self.scaler is not None and state:
            self.scaler.load_state_dict(state)
