"""Strided convolutions on maps smaller than their stride, whose bfloat16 gradient torch gets wrong on a CPU.

There some of a kernel's weights never meet the image, so that their gradient is zero. oneDNN (in torch 2.14, on CPUs
with AVX-512 BF16 or AMX) leaves them unwritten: whatever lay in that memory becomes the gradient, such as 1e30 or NaN,
and another run of the same step gives another one. Networks meet such maps in small crops and small images, at their
last stages. Zeros to the right and below, up to one stride, change neither the result nor its size, and then every
gradient is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.nn import functional as F

from acclimate.models import Precision


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
