"""Adapters: the same network at the start, W + B A in training, plain timm weights at the end."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import partial

import pytest
import timm
import torch
from timm.layers import GroupNormAct, StdConv2d
from timm.models.resnetv2 import ResNetV2
from torch import Tensor, nn

from acclimate.models.adapters import LowRank, adapter_names, attach, merge, timm_names
from acclimate.models.network import classifier_names


def tiny_bit() -> nn.Module:
    """Return BiT's parts in small: weight-standardised convolutions, group norms, a convolution as classifier."""
    norm, channels = partial(GroupNormAct, num_groups=4), (32, 32, 64, 64)
    return ResNetV2([1] * 4, channels, num_classes=3, stem_type="fixed", conv_layer=StdConv2d, norm_layer=norm)


def with_tied_weights() -> nn.Module:
    network = timm.create_model("test_vit", num_classes=3)
    network.blocks[1].attn.proj.weight = network.blocks[0].attn.proj.weight
    return network


def of_timm(name: str) -> Callable[[], nn.Module]:
    return lambda: timm.create_model(name, num_classes=3)


BUILD = {
    "tiny_bit": tiny_bit,
    **{name: of_timm(name) for name in ("test_vit", "test_convnext", "test_resnet", "test_efficientnet")},
}
SIDE = {"test_vit": 160}
LINEAR = ("test_vit", "test_convnext")


def built(name: str) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    network = BUILD[name]().eval()
    for key, parameter in network.named_parameters():
        if key.endswith(".gamma"):
            nn.init.ones_(parameter)  # ConvNeXt starts its blocks at 1e-6, where nothing they do could be seen
    return network, torch.randn(2, 3, SIDE.get(name, 64), SIDE.get(name, 64))


def moved(network: nn.Module) -> nn.Module:
    """Give every adapter weights as training would."""
    for name, parameter in network.named_parameters():
        if name in adapter_names(network) and name.endswith(".b"):
            nn.init.normal_(parameter, std=0.05)
    return network


@pytest.mark.parametrize("name", BUILD)
def test_fresh_adapters_are_the_same_function_to_the_bit(name: str) -> None:
    network, x = built(name)
    before = network(x)
    assert attach(network, 4)
    assert torch.equal(network(x), before)


@pytest.mark.parametrize("name", BUILD)
def test_every_linear_layer_or_every_dense_convolution_below_the_classifier(name: str) -> None:
    network, _ = built(name)
    kind = nn.Linear if name in LINEAR else nn.Conv2d
    dense = [
        f"{prefix}.weight"
        for prefix, module in network.named_modules()
        if isinstance(module, kind) and getattr(module, "groups", 1) == 1
    ]
    expected = set(dense) - classifier_names(network)
    chosen = attach(network, 4)
    assert len(expected) > 5
    assert set(chosen) == expected
    assert len(adapter_names(network)) == 2 * len(expected)
    assert not any("parametrizations" in key for key in classifier_names(network))


@pytest.mark.parametrize("name", BUILD)
def test_the_weight_is_w_plus_b_a(name: str) -> None:
    """Against the sum written into the plain network."""
    plain, x = built(name)
    network = copy.deepcopy(plain)
    attached = attach(network, 4)
    adapted = moved(network).state_dict()
    state = plain.state_dict()
    for weight in attached:
        layer = weight.removesuffix(".weight")
        a, b = (adapted[f"{layer}.parametrizations.weight.0.{part}"].double() for part in "ab")
        assert a.shape[0] == b.shape[1] == min(4, *a.shape, *b.shape)
        state[weight] = (state[weight].double() + (b @ a).reshape(state[weight].shape)).float()
    before = plain(x)
    plain.load_state_dict(state)
    torch.testing.assert_close(network(x), plain(x), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(network(x), before, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("name", BUILD)
def test_merged_is_plain_timm_again(name: str) -> None:
    plain, x = built(name)
    plain = plain.to(memory_format=torch.channels_last)
    network = copy.deepcopy(plain)
    parameters = dict(network.named_parameters())
    network.requires_grad_(False)
    next(iter(parameters.values())).requires_grad_(True)
    before = {key: p.requires_grad for key, p in parameters.items()}
    attach(network, 4)
    expected = moved(network)(x)
    merge(network)
    torch.testing.assert_close(network(x), expected)  # threads may add in another order
    assert list(network.state_dict()) == list(plain.state_dict())
    assert [key for key, _ in network.named_parameters()] == [key for key, _ in plain.named_parameters()]
    assert [type(module) for module in network.modules()] == [type(module) for module in plain.modules()]
    for key, parameter in network.named_parameters():
        assert parameter is parameters[key]
        assert parameter.requires_grad == before[key]
        assert parameter.stride() == plain.get_parameter(key).stride()
    plain.load_state_dict(network.state_dict())
    torch.testing.assert_close(plain(x), expected)


def test_merging_nothing_changes_nothing() -> None:
    network, _ = built("test_vit")
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    merge(network)
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())


@pytest.mark.parametrize("name", ["test_vit", "tiny_bit"])
def test_a_copy_follows_and_lives_on_its_own(name: str) -> None:
    """What a slowly moving target does: copy, average parameter by parameter, outlive the merge of the other."""
    network, x = built(name)
    attach(network, 4)
    start = network(x)
    target = copy.deepcopy(network)
    moved(network)
    assert torch.equal(target(x), start)
    with torch.no_grad():
        for (key, online), (same, slow) in zip(network.named_parameters(), target.named_parameters(), strict=True):
            assert key == same
            slow.lerp_(online, 1.0)
    end = network(x)
    merge(network)
    assert torch.equal(target(x), end)
    assert len(adapter_names(target)) > 0
    merge(target)
    assert torch.equal(target(x), end)


def test_state_goes_into_a_freshly_attached_copy() -> None:
    network, x = built("test_convnext")
    fresh = copy.deepcopy(network)
    attach(network, 4)
    state = moved(network).state_dict()
    attach(fresh, 4)
    fresh.load_state_dict(state)
    assert torch.equal(fresh(x), network(x))


@pytest.mark.parametrize(("asked", "got"), [(1, 1), (16, 16), (10_000, 64)])
def test_rank_is_cut_to_the_matrix(asked: int, got: int) -> None:
    network, x = built("test_vit")
    attach(network, asked)
    update = network.blocks[0].attn.qkv.parametrizations.weight[0]
    assert isinstance(update, LowRank)
    assert update.a.shape == (got, 64)
    assert update.b.shape == (192, got)
    assert torch.linalg.matrix_rank(moved(network).blocks[0].attn.qkv.weight - state_of(network)) == got
    assert network(x).isfinite().all()


def state_of(network: nn.Module) -> Tensor:
    return network.get_parameter("blocks.0.attn.qkv.parametrizations.weight.original")


def test_skipped_and_shared_weights_have_no_adapter() -> None:
    network = with_tied_weights()
    chosen = attach(network, 4, skip={"blocks.2.mlp.fc1.weight", "blocks.2.mlp.fc1.bias"})
    assert "blocks.2.mlp.fc2.weight" in chosen
    assert not {"blocks.2.mlp.fc1.weight", "blocks.0.attn.proj.weight", "blocks.1.attn.proj.weight"} & set(chosen)
    assert attach(network, 4, skip={"blocks.2.mlp.fc1.weight"}) == ()


def test_names_that_timm_gave() -> None:
    network, _ = built("test_resnet")
    before = [key for key, _ in network.named_parameters()]
    assert timm_names(network) == {key: key for key in before}
    attach(network, 4)
    names = timm_names(network)
    assert sorted(names.values()) == sorted(before)
    assert set(names) | adapter_names(network) == {key for key, _ in network.named_parameters()}


def test_first_weights_come_from_the_global_generator() -> None:
    first, again, other = (BUILD["test_vit"]() for _ in range(3))
    for network, seed in ((first, 1), (again, 1), (other, 2)):
        torch.manual_seed(seed)
        attach(network, 8)
    values = [network.blocks[0].mlp.fc2.parametrizations.weight[0] for network in (first, again, other)]
    assert torch.equal(values[0].a, values[1].a)
    assert not torch.equal(values[0].a, values[2].a)
    assert not values[0].b.any()
    bound = 1 / math.sqrt(values[0].a.shape[1])
    assert 0.9 * bound < values[0].a.abs().max() <= bound
    assert values[0].a.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)


@pytest.mark.parametrize("name", ["test_vit", "tiny_bit"])
@pytest.mark.parametrize("half", [False, True], ids=["float32", "bfloat16"])
def test_training_moves_adapters_and_nothing_else(name: str, half: bool) -> None:
    network, x = built(name)
    network.requires_grad_(False)
    attach(network, 4)
    before = {key: p.detach().clone() for key, p in network.named_parameters()}
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    for step in range(2):
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            features = network.forward_features(x)
        (features.float() * torch.linspace(-1, 1, features.numel()).view(features.shape)).sum().backward()
        if step == 0:  # dL/dA = B' dL/dW, and B is zero
            assert not any(p.grad.any() for key, p in network.named_parameters() if key.endswith(".0.a"))
        optimizer.step()
        optimizer.zero_grad()
    changed = {key for key, p in network.named_parameters() if not torch.equal(p, before[key])}
    assert changed <= adapter_names(network)
    assert len(changed) > 0.9 * len(adapter_names(network))
