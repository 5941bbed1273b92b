"""Objectives against formulas written out here, and contracts over every member."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn

from acclimate import objectives
from acclimate.models.network import feature_width, pooled
from acclimate.models.scope import freeze, parse_scope, select, set_mode
from acclimate.objectives import BYOL, METHODS, OBJECTIVES, BYOLSettings, Supervised, SupervisedSettings
from acclimate.views import AUGMENTS, view_size

ARCHITECTURES = {"mae": "test_vit"}  # objectives that not every network can do; the others are tried on test_resnet


def network(scope: str = "all", architecture: str = "test_resnet") -> nn.Module:
    torch.manual_seed(0)
    size = {"img_size": 32} if "vit" in architecture else {}
    net = timm.create_model(architecture, num_classes=3, **size)
    freeze(net, select(net, parse_scope(scope)))
    set_mode(net)
    return net


def views(n: int = 8) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(n, 3, 32, 32, generator=generator) for _ in range(2)]


def views_of(objective: Any) -> list[torch.Tensor]:
    """Return 8 random images for each view that the objective names after setup, in that view's own size."""
    generator = torch.Generator().manual_seed(1)
    sizes = [view_size((32, 32), view.scale) for view in objective.views or [AUGMENTS["none"]]]
    return [torch.randn(8, 3, *size, generator=generator) for size in sizes]


@pytest.mark.parametrize("name", OBJECTIVES)
def test_contract(name: str) -> None:
    """A finite scalar, the same again for the same state, seed and input, with a gradient unless it says otherwise."""
    kind, settings = OBJECTIVES[name]
    objective = kind(settings())
    net = network(architecture=ARCHITECTURES.get(name, "test_resnet"))
    counts = [4, 2, 2] if kind.needs_labels else []
    extra = objective.setup(net, features=feature_width(net, (32, 32)), class_counts=counts)
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 2, 2]) if kind.needs_labels else None
    state = copy.deepcopy((net.state_dict(), extra.state_dict()))
    torch.manual_seed(2)
    first = objective.loss(views_of(objective), labels).detach()
    net.load_state_dict(state[0])
    extra.load_state_dict(state[1])
    torch.manual_seed(2)
    loss = objective.loss(views_of(objective), labels)
    assert loss.ndim == 0
    assert torch.isfinite(loss)
    assert torch.equal(first, loss)
    assert loss.requires_grad != kind.gradient_free
    if loss.requires_grad:
        loss.backward()
        with_gradient = [p for p in net.parameters() if p.requires_grad and p.grad is not None]
        assert sum(float(p.grad.abs().sum()) for p in with_gradient) > 0
    objective.after_step(0.5)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weights", ["none", "balanced"])
def test_supervised_is_the_formula(smoothing: float, weights: str) -> None:
    net = network().eval()
    nn.init.normal_(net.fc.weight)
    objective = Supervised(SupervisedSettings(label_smoothing=smoothing, class_weights=weights))
    objective.setup(net, features=96, class_counts=[4, 3, 1])
    y = torch.tensor([0, 0, 0, 0, 1, 1, 1, 2])
    x = views()[0]
    log_p = net(x).log_softmax(1)
    w = torch.tensor([8 / 12, 8 / 9, 8 / 3]) if weights == "balanced" else torch.ones(3)
    per_image = (1 - smoothing) * -(w[y] * log_p[torch.arange(8), y]) - smoothing / 3 * (w * log_p).sum(1)
    torch.testing.assert_close(objective.loss([x], y), per_image.sum() / w[y].sum())


def test_byol_is_the_paper_s_formula() -> None:
    """L = 2 - 2 cos, both ways round (Grill et al. 2020, equation 2); ours is -cos averaged: (L / 2 - 2) / 2."""
    net = network()
    objective = BYOL(BYOLSettings(hidden=16, out=8))
    objective.setup(net, features=96, class_counts=[])
    a, b = views()
    reference = copy.deepcopy(objective)

    def online(x: torch.Tensor) -> torch.Tensor:
        return reference.predictor(reference.projector(pooled(reference.network, x)))

    def target(x: torch.Tensor) -> torch.Tensor:
        return reference.target_projector(pooled(reference.target, x))

    theirs = sum(
        (F.normalize(online(x), dim=1) - F.normalize(target(y), dim=1)).square().sum(1).mean()
        for x, y in ((a, b), (b, a))
    )
    torch.testing.assert_close(objective.loss([a, b], None), (theirs / 2 - 2) / 2)


def test_byol_target_has_no_gradient_and_follows() -> None:
    net = network()
    objective = BYOL(BYOLSettings(hidden=16, out=8, ema=0.9))
    objective.setup(net, features=96, class_counts=[])
    objective.loss(views(), None).backward()
    assert all(p.grad is None for p in objective.target.parameters())
    start = objective.target.conv1[0].weight.clone()
    with torch.no_grad():
        net.conv1[0].weight += 1
    objective.after_step(0.0)
    torch.testing.assert_close(objective.target.conv1[0].weight, 0.9 * start + 0.1 * net.conv1[0].weight)


@pytest.mark.parametrize("buffers", ["forward", "ema"])
def test_byol_target_buffers_are_the_stated_choice(buffers: str) -> None:
    net = network()
    objective = BYOL(BYOLSettings(hidden=16, out=8, ema=0.9, target_buffers=buffers))
    objective.setup(net, features=96, class_counts=[])
    objective.loss(views(), None)
    gathered = objective.target.bn1.running_mean.clone()
    objective.after_step(0.0)
    expected = gathered if buffers == "forward" else 0.9 * gathered + 0.1 * net.bn1.running_mean
    with torch.no_grad():
        net.bn1.running_mean += 1
    assert not torch.equal(gathered, torch.zeros_like(gathered))
    torch.testing.assert_close(objective.target.bn1.running_mean, expected)


def test_byol_frozen_batch_norm_is_frozen_in_both() -> None:
    net = network()
    set_mode(net, bn_stats="frozen")
    objective = BYOL(BYOLSettings(hidden=16, out=8))
    objective.setup(net, features=96, class_counts=[])
    before = net.bn1.running_mean.clone()
    objective.loss(views(), None)
    assert torch.equal(before, net.bn1.running_mean)
    assert torch.equal(before, objective.target.bn1.running_mean)


def test_byol_layer_norm_heads_work_with_two_images() -> None:
    objective = BYOL(BYOLSettings(hidden=16, out=8, head_norm="layer"))
    extra = objective.setup(network(architecture="test_convnext"), features=64, class_counts=[])
    assert not any(isinstance(m, nn.BatchNorm1d) for m in extra["projector"].modules())
    assert any(isinstance(m, nn.LayerNorm) for m in extra["predictor"].modules())
    assert torch.isfinite(objective.loss(views(2), None))


def test_byol_norm_scope_moves_the_target_only_where_the_network_moves() -> None:
    net = network("norm")
    objective = BYOL(BYOLSettings(hidden=16, out=8, ema=0.5))
    objective.setup(net, features=96, class_counts=[])
    before = {name: p.clone() for name, p in objective.target.named_parameters()}
    with torch.no_grad():
        for p in net.parameters():
            p += 1
    objective.after_step(0.0)
    moved = {name for name, p in objective.target.named_parameters() if not torch.equal(before[name], p)}
    assert moved == {name for name, p in net.named_parameters() if p.requires_grad}


def test_methods_are_the_objectives_without_labels() -> None:
    unlabelled = {name for name, (kind, _) in OBJECTIVES.items() if not kind.needs_labels}
    assert unlabelled == set(METHODS)
    assert set(objectives.__all__) >= {kind.__name__ for kinds in OBJECTIVES.values() for kind in kinds}
    assert all(getattr(objectives, name) is not None for name in objectives.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = objectives.no_such_name
