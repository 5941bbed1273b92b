"""Scopes: what they select, and that frozen means frozen."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from acclimate.errors import ScopeError
from acclimate.scope import freeze, parse_scope, select, set_mode


@pytest.fixture(scope="module")
def resnet50() -> nn.Module:
    with torch.device("meta"):
        return timm.create_model("resnet50", num_classes=10)


@pytest.mark.parametrize(
    ("scope", "backbone"),
    [
        ("head", 0),
        ("head+norm:paper", 37_888),  # Sirotkin et al. 2024: 0.161% of 23,508,032
        ("head+norm", 53_120),
        ("norm", 53_120),
        ("all", 23_508_032),
        ("last:2", 22_063_104),
        ("re:layer4", 14_964_736),
        ("head+re:^bn1", 128),
    ],
)
def test_backbone_parameters_of_resnet50(resnet50: nn.Module, scope: str, backbone: int) -> None:
    assert select(resnet50, parse_scope(scope)).backbone == backbone


def test_trainable_counts_the_head(resnet50: nn.Module) -> None:
    found = select(resnet50, parse_scope("head+norm"))
    assert found.trainable == 53_120 + 2048 * 10 + 10
    assert found.total == 23_508_032 + 2048 * 10 + 10
    assert found.below(resnet50).trainable == 53_120


@pytest.mark.parametrize(
    ("architecture", "norms"),
    [("test_vit", nn.LayerNorm), ("test_convnext", nn.LayerNorm), ("test_efficientnet_gn", nn.GroupNorm)],
)
def test_norm_finds_every_kind(architecture: str, norms: type[nn.Module]) -> None:
    network = timm.create_model(architecture, num_classes=3)
    chosen = set(select(network, parse_scope("norm")).names)
    expected = {
        f"{prefix}.{name}"
        for prefix, module in network.named_modules()
        if isinstance(module, norms)
        for name, _ in module.named_parameters(recurse=False)
    }
    assert expected
    assert chosen == expected


def test_bias_is_every_bias_and_nothing_else() -> None:
    network = timm.create_model("test_vit", num_classes=3)
    chosen = set(select(network, parse_scope("bias")).names)
    assert chosen == {name for name, _ in network.named_parameters() if name.endswith(".bias")}


@pytest.mark.parametrize("scope", ["head", "head+norm", "last:1", "bias", "re:layer4"])
def test_frozen_does_not_move_by_one_bit(scope: str) -> None:
    """Parameters outside the scope, and buffers of modules without a trainable parameter, after real steps."""
    torch.manual_seed(0)
    network = timm.create_model("test_resnet", num_classes=3)
    chosen = select(network, parse_scope(scope))
    freeze(network, chosen)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):
        set_mode(network)
        network(torch.randn(4, 3, 64, 64)).square().mean().backward()
        optimizer.step()
    trained = {name.rpartition(".")[0] for name in chosen.names}
    after = network.state_dict()
    frozen = [name for name in before if name.rpartition(".")[0] not in trained]
    moved = [name for name in chosen.names if not torch.equal(before[name], after[name])]
    assert frozen
    assert all(torch.equal(before[name], after[name]) for name in frozen)
    assert moved, "the test would prove nothing if nothing had moved"


def test_statistics_move_with_trained_norms_unless_frozen() -> None:
    network = timm.create_model("test_resnet", num_classes=3)
    freeze(network, select(network, parse_scope("head+norm")))
    for bn_stats, moves in (("adapt", True), ("frozen", False)):
        before = network.bn1.running_mean.clone()
        set_mode(network, bn_stats=bn_stats)
        network(torch.randn(4, 3, 64, 64))
        assert torch.equal(before, network.bn1.running_mean) != moves


def test_dropout_follows_what_it_stands_in() -> None:
    network = timm.create_model("test_vit", num_classes=3, proj_drop_rate=0.1)
    freeze(network, select(network, parse_scope("head")))
    set_mode(network)
    assert not any(m.training for m in network.blocks.modules())
    freeze(network, select(network, parse_scope("all")))
    set_mode(network)
    assert all(m.training for m in network.modules())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "got an empty scope"),
        ("haed", "unknown scope term 'haed'; did you mean 'head'"),
        ("last:0", "expected a number of blocks of at least 1"),
        ("last", "expected a number of blocks"),
        ("head+nrom", "did you mean 'norm'"),
        ("re:(", "is no regular expression"),
    ],
)
def test_unreadable_scopes(text: str, message: str) -> None:
    with pytest.raises(ScopeError, match=message):
        parse_scope(text)


def test_scope_that_matches_nothing(resnet50: nn.Module) -> None:
    with pytest.raises(ScopeError, match="scope 're:layer9' matches no parameter of ResNet"):
        select(resnet50, parse_scope("re:layer9"))


def test_paper_scope_names_its_analogue_elsewhere() -> None:
    network = timm.create_model("test_vit", num_classes=3)
    with pytest.raises(ScopeError, match="Its analogue here is 'head\\+norm'"):
        select(network, parse_scope("norm:paper"))
