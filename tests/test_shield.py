"""Gradients of strided convolutions on tiny maps: right in bfloat16 too, where torch leaves some of them unwritten."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from acclimate.training.arithmetic import shielded

SHAPES = [
    (side, kernel, stride)
    for side in ((1, 1), (1, 3), (4, 1), (2, 2), (3, 2), (5, 5))
    for kernel in (1, 3, 5, 7)
    for stride in (2, 3, 4)
]


def poison() -> None:
    """Fill and free memory of a weight's size: what is not written afterwards is read as huge numbers."""
    for dtype in (torch.bfloat16, torch.float32):
        held = [torch.full((16 * 16 * side * side,), 1e30, dtype=dtype) for side in (1, 3, 5, 7)]
        del held


@pytest.mark.parametrize(("side", "kernel", "stride"), SHAPES)
def test_every_gradient_is_written(side: tuple[int, int], kernel: int, stride: int) -> None:
    generator = torch.Generator().manual_seed(0)
    convolution = nn.Conv2d(16, 16, kernel, stride=stride, padding=kernel // 2, bias=False)
    convolution.weight.data.normal_(generator=generator)
    x = torch.randn(16, 16, *side, generator=generator).to(memory_format=torch.channels_last)
    exact = copy.deepcopy(convolution).double()
    exact(x.double()).square().sum().backward()
    with shielded(convolution, "cpu", "bf16-mixed"), torch.autocast("cpu", torch.bfloat16):
        for _ in range(4):
            convolution.zero_grad()
            poison()
            out = convolution(x)
            assert out.shape == exact(x.double()).shape
            out.float().square().sum().backward()
            wanted = exact.weight.grad
            assert (convolution.weight.grad.double() - wanted).abs().max() <= 0.05 * wanted.abs().max()


def test_float32_accelerators_and_what_comes_after_are_left_alone() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.Conv2d(4, 4, 2, stride=2), nn.Conv2d(4, 4, 3))
    for device, precision in (("cpu", "32-true"), ("cuda", "bf16-mixed")):
        with shielded(network, device, precision):
            assert not any(module._forward_pre_hooks for module in network)
    with shielded(network, "cpu", "bf16-mixed"):
        assert [bool(module._forward_pre_hooks) for module in network] == [True, False, False]
        assert copy.deepcopy(network)[0]._forward_pre_hooks, "a moving target is a copy and needs the same"
    assert not any(module._forward_pre_hooks for module in network)
