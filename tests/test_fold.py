"""Folded batch norms and fused convolutions: the same features up to rounding, and other networks left alone."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from acclimate.models import choose_precision
from acclimate.models.features.fold import FusedConvolution, can_fuse, folded, for_inference


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


@pytest.mark.skipif(not can_fuse("cpu"), reason="this build of torch has no oneDNN")
@pytest.mark.parametrize("architecture", ["test_resnet", "test_efficientnet", "resnet26d", "resnext26ts"])
def test_fused_sums_and_activations_are_the_same_function(architecture: str) -> None:
    module = network(architecture)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    inference = for_inference(module, "cpu", "32-true")
    with torch.inference_mode():
        first, second = inference(x), inference(x)
        torch.testing.assert_close(first, module(x), rtol=1e-3, atol=1e-4)
    assert torch.equal(first, second), "a fused sum wrote into a map that was still needed"
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


@pytest.mark.skipif(not can_fuse("cpu"), reason="this build of torch has no oneDNN")
def test_a_resnet_ends_as_fused_convolutions_alone() -> None:
    traced = for_inference(network("resnet18"), "cpu", "32-true")
    called = [traced.get_submodule(str(node.target)) for node in traced.graph.nodes if node.op == "call_module"]
    assert sum(isinstance(part, FusedConvolution) for part in called) == 17  # the other three are the plain shortcuts
    assert not any(isinstance(part, nn.ReLU | nn.BatchNorm2d | nn.Identity) for part in called)
    assert not any(node.op == "call_function" and "add" in str(node.target) for node in traced.graph.nodes)


@pytest.mark.skipif(choose_precision("auto", "cpu") != "bf16-mixed", reason="this CPU does not multiply bfloat16")
def test_fused_bfloat16_is_as_close_to_float32_as_autocast_is() -> None:
    module = network("resnet18")
    x = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    fused = for_inference(module, "cpu", "bf16-mixed")
    with torch.inference_mode():
        exact = module(x)
        with torch.autocast("cpu", torch.bfloat16):
            errors = [(way(x).float() - exact).square().mean() for way in (fused, module)]
    assert errors[0] <= 1.2 * errors[1]


class TwoReaders(nn.Module):
    """What is added is read again afterwards, and so is one activation's input."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.act = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU(inplace=False)
        self.second, self.last = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept = self.norm(self.first(x))
        summed = self.last(self.second(self.act(kept))) + kept
        return summed + kept.mean()


@pytest.mark.skipif(not can_fuse("cpu"), reason="this build of torch has no oneDNN")
def test_what_others_read_is_left_as_it_was() -> None:
    module = TwoReaders().eval()
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        torch.testing.assert_close(for_inference(module, "cpu", "32-true")(x), module(x))
