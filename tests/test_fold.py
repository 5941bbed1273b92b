"""Folded batch norms: the same features up to rounding, and untraceable networks left alone."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from acclimate.backbones.fold import folded


def network(architecture: str) -> nn.Module:
    """Return a network whose batch norms do something: random statistics, scales and shifts."""
    generator = torch.Generator().manual_seed(0)
    module = timm.create_model(architecture, num_classes=0).eval()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            for tensor, low in (
                (part.running_mean, -0.5),
                (part.running_var, 0.5),
                (part.weight, 0.5),
                (part.bias, -0.5),
            ):
                tensor.data.uniform_(low, low + 1, generator=generator)
    return module


@pytest.mark.parametrize(
    "architecture", ["test_resnet", "test_efficientnet", "test_vit", "test_convnext", "test_nfnet"]
)
def test_features_are_the_same_and_the_network_is_not_changed(architecture: str) -> None:
    module = network(architecture)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    x = torch.randn(2, 3, 160, 160, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        torch.testing.assert_close(folded(module)(x), module(x), rtol=1e-3, atol=1e-4)
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


def test_a_resnet_calls_no_batch_norm_any_more() -> None:
    traced = folded(network("test_resnet"))
    called = [traced.get_submodule(str(node.target)) for node in traced.graph.nodes if node.op == "call_module"]
    assert any(isinstance(part, nn.Conv2d) for part in called)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in called)


class Branching(nn.Module):
    """Takes another way for bright images: no fixed graph."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.conv(x)) if x.mean() > 0 else self.conv(x)


class Shared(nn.Module):
    """Reads the convolution twice: folding the norm into it would change the other reader."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        return self.norm(y) + y


@pytest.mark.parametrize("module", [Branching(), Shared()], ids=["branching", "shared"])
def test_what_cannot_be_folded_is_returned_as_it_is(module: nn.Module) -> None:
    assert folded(module.eval()) is module
