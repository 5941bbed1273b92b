"""Backward passes and optimizer steps in the precision of a run.

In float16 the loss is scaled up before its backward pass and the gradients down after it, since small gradients are
zero in float16 (Micikevicius et al. 2018, arXiv 1710.03740, section 3.2). A step whose gradients are not finite is left
out, and the scale is halved.

In bfloat16 torch gets the gradient of strided convolutions wrong on a CPU where the map is smaller than the stride.
There some of a kernel's weights never meet the image, so that their gradient is zero. oneDNN (in torch 2.14, on CPUs
with AVX-512 BF16 or AMX) leaves them unwritten: whatever lay in that memory becomes the gradient, such as 1e30 or NaN,
and another run of the same step gives another one. Networks meet such maps in small crops and small images, at their
last stages. Zeros to the right and below, up to one stride, change neither the result nor its size, and then every
gradient is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

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


@contextmanager
def shielded(network: nn.Module, device: str, precision: Precision) -> Iterator[None]:
    """Keep the gradients of a network, and of copies of it, right for as long as the block lasts.

    Does nothing where the fault does not occur: on an accelerator, and in float32.
    """
    affected = device == "cpu" and precision == "bf16-mixed"
    convolutions = [module for module in network.modules() if _strides(module)] if affected else []
    handles = [module.register_forward_pre_hook(_at_least_one_stride) for module in convolutions]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _strides(module: nn.Module) -> bool:
    """Whether a module is a convolution that strides, with the padding that puts its kernel's centre on each pixel."""
    if not isinstance(module, nn.Conv2d) or max(module.stride) == 1 or isinstance(module.padding, str):
        return False
    shape = zip(module.kernel_size, module.dilation, module.padding, strict=True)
    return all(size % 2 == 1 and padding == dilation * (size // 2) for size, dilation, padding in shape)


def _at_least_one_stride(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
    assert isinstance(module, nn.Conv2d)
    x, (down, right) = inputs[0], module.stride
    missing = max(0, down - x.shape[-2]), max(0, right - x.shape[-1])
    if not any(missing):
        return None
    return (F.pad(x, (0, missing[1], 0, missing[0])),)
