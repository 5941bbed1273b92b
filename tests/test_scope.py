"""Scopes: what they select, and that frozen means frozen."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import timm
import torch
from torch import nn

from acclimate.errors import ScopeError
from acclimate.models.adapters import adapter_names, timm_names
from acclimate.models.scope import freeze, is_norm, merge, parse_scope, prepare, select, set_mode


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
        ("lora", "got scope 'lora'; expected a rank of at least 1, such as 'lora:8'"),
        ("lora:0+last:1", "got scope 'lora:0'; expected a rank of at least 1"),
        ("lora:4+lora:8", "got scope 'lora:4\\+lora:8' with two ranks; expected one"),
        ("lroa:8", "did you mean 'lora:R'"),
        ("last:\u00b2", "expected a number of blocks"),  # a digit, but no number
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


# --- batch, group and layer norm alike


@pytest.fixture(scope="module")
def networks() -> dict[str, nn.Module]:
    """Return models of each kind of norm, with random weights: nothing is downloaded."""
    names = ("resnetv2_101x1_bit", "test_resnet", "test_vit", "test_convnext")
    return {name: timm.create_model(name, num_classes=3) for name in names}


@pytest.fixture
def network(networks: dict[str, nn.Module], request: pytest.FixtureRequest) -> Iterator[nn.Module]:
    """Return one of them, and leave it as it was."""
    yield networks[request.param]
    merge(networks[request.param])
    networks[request.param].requires_grad_(True)


# Of each: its norms, the prefixes of its last block, what LoRA works on; parameters of norm, last:1 and lora:4.
KINDS = {
    "resnetv2_101x1_bit": (nn.GroupNorm, ("stages.3.", "norm."), nn.Conv2d, (97_664, 14_962_688, 665_932)),
    "test_resnet": (nn.BatchNorm2d, ("layer4.",), nn.Conv2d, (2_080, 267_840, 24_172)),
    "test_vit": (nn.LayerNorm, ("blocks.5.", "norm.", "fc_norm."), nn.Linear, (1_664, 41_856, 21_504)),
    "test_convnext": (nn.LayerNorm, ("stages.3.", "head.norm."), nn.Linear, (1_200, 85_536, 16_320)),
}


@pytest.mark.parametrize(
    ("network", "norms", "last", "adapted", "counts"),
    [(name, *row) for name, row in KINDS.items()],
    indirect=["network"],
    ids=KINDS,
)
def test_scopes_of_every_kind_of_model(
    network: nn.Module,
    norms: type[nn.Module],
    last: tuple[str, ...],
    adapted: type[nn.Linear | nn.Conv2d],
    counts: tuple[int, int, int],
) -> None:
    head = {id(p) for p in network.get_classifier().parameters()}
    sizes = {name: p.numel() for name, p in network.named_parameters()}
    norm = select(network, parse_scope("norm"))
    assert norm.backbone == norm.trainable == counts[0]
    assert norm.trainable == sum(p.numel() for m in network.modules() if isinstance(m, norms) for p in m.parameters())
    block = select(network, parse_scope("last:1"))
    assert block.backbone == block.trainable == counts[1]
    assert set(block.names) == {name for name in sizes if name.startswith(last)}
    matrices = [
        (len(m.weight), m.weight[0].numel())
        for m in network.modules()
        if isinstance(m, adapted) and id(m.weight) not in head and getattr(m, "groups", 1) == 1
    ]
    prepare(network, parse_scope("lora:4"))
    lora = select(network, parse_scope("lora:4"))
    assert lora.backbone == lora.trainable == counts[2]
    assert lora.trainable == sum(min(4, o, i) * (o + i) for o, i in matrices)
    assert lora.total == sum(sizes.values()) + lora.trainable


@pytest.mark.parametrize(("network", "norms"), [(name, row[0]) for name, row in KINDS.items()], indirect=["network"])
def test_modes_of_every_kind_of_model(network: nn.Module, norms: type[nn.Module]) -> None:
    scope = parse_scope("norm")
    freeze(network, select(network, scope))
    set_mode(network)
    found = [module for module in network.modules() if isinstance(module, norms)]
    assert found
    assert all(is_norm(module) and module.training for module in found)
    leaves = [m for m in network.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    assert not any(module.training for module in leaves)


@pytest.mark.parametrize("network", ["resnetv2_101x1_bit"], indirect=True)
def test_bit_trains_with_adapters_on_few_pixels(network: nn.Module) -> None:
    scope = parse_scope("lora:2+norm")
    prepare(network, scope)
    freeze(network, select(network, scope))
    set_mode(network)
    network.forward_features(torch.randn(1, 3, 32, 32)).square().mean().backward()
    assert all((p.grad is not None) == p.requires_grad for key, p in network.named_parameters() if "head" not in key)
    network.zero_grad(set_to_none=True)


# --- adapters


@pytest.mark.parametrize("network", ["test_resnet", "test_vit", "test_convnext"], indirect=True)
@pytest.mark.parametrize("scope", ["head", "norm", "bias", "last:2", "all", r"re:\.weight$", "head+re:conv2|qkv|fc1"])
def test_other_terms_mean_the_same_with_adapters(network: nn.Module, scope: str) -> None:
    plain = select(network, parse_scope(scope))
    prepare(network, parse_scope("lora:4"))
    names = timm_names(network)
    found = select(network, parse_scope(scope))
    assert {names[name] for name in found.names} == set(plain.names)
    assert (found.backbone, found.trainable) == (plain.backbone, plain.trainable)
    assert found.total > plain.total


@pytest.mark.parametrize("network", ["test_resnet", "test_vit", "test_convnext"], indirect=True)
def test_adapters_stand_where_nothing_else_trains(network: nn.Module) -> None:
    """ExPLoRA (Khanna et al. 2024): the last block whole, adapters on the rest."""
    whole = set(select(network, parse_scope("last:1")).names)
    prepare(network, parse_scope("lora:8"))
    everywhere = {name.partition(".parametrizations")[0] for name in adapter_names(network)}
    merge(network)
    scope = parse_scope("lora:8+last:1")
    prepare(network, scope)
    chosen = set(select(network, scope).names)
    assert chosen == whole | adapter_names(network)
    places = {name.partition(".parametrizations")[0] for name in adapter_names(network)}
    assert places == {place for place in everywhere if f"{place}.weight" not in whole}
    assert everywhere > places > set()


@pytest.mark.parametrize("network", ["test_vit"], indirect=True)
def test_prepare_does_it_once_and_only_where_asked(network: nn.Module) -> None:
    prepare(network, parse_scope("head+norm"))
    assert not adapter_names(network)
    with pytest.raises(ScopeError, match="scope 'lora:4' finds no adapters in VisionTransformer; put them there with"):
        select(network, parse_scope("lora:4"))
    prepare(network, parse_scope("lora:4"))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    prepare(network, parse_scope("lora:4"))
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert len(before) == len(network.state_dict())


@pytest.mark.parametrize("network", ["test_vit"], indirect=True)
@pytest.mark.parametrize("scope", ["lora:4+all", "lora:4+re:blocks"])
def test_nothing_left_to_adapt(network: nn.Module, scope: str) -> None:
    with pytest.raises(ScopeError, match="leaves 'lora:4' no weight of VisionTransformer to adapt; expected"):
        prepare(network, parse_scope(scope))
    assert not adapter_names(network)


# --- statistics only


def test_statistics_move_alone() -> None:
    network = timm.create_model("test_resnet", num_classes=3)
    scope = parse_scope("stats")
    chosen = select(network, scope)
    assert (chosen.names, chosen.trainable) == ((), 0)
    assert scope.statistics
    assert not scope.head_only
    freeze(network, chosen)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    set_mode(network, bn_stats="frozen", statistics=scope.statistics)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert all(module.training for module in norms)
    assert sum(module.training for module in network.modules()) == len(norms)
    network(torch.randn(4, 3, 64, 64))
    moved = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert {name.rpartition(".")[2] for name in moved} == {"running_mean", "running_var", "num_batches_tracked"}
    assert len(moved) == 3 * len(norms)


def test_statistics_beside_other_terms_change_no_other_mode() -> None:
    network = timm.create_model("test_resnet", num_classes=3, drop_path_rate=0.1)
    freeze(network, select(network, parse_scope("last:1")))
    set_mode(network)
    before = {id(module): module.training for module in network.modules()}
    set_mode(network, statistics=parse_scope("last:1+stats").statistics)
    changed = [module for module in network.modules() if module.training != before[id(module)]]
    assert changed
    assert all(isinstance(module, nn.BatchNorm2d) and module.training for module in changed)
    assert not parse_scope("last:1+norm").statistics


@pytest.mark.parametrize("network", ["resnetv2_101x1_bit", "test_vit"], indirect=True)
def test_no_statistics_to_adapt(network: nn.Module) -> None:
    kind = type(network).__name__
    with pytest.raises(ScopeError, match=rf"{kind} has none \(group and layer norms keep no statistics\)"):
        select(network, parse_scope("stats"))
