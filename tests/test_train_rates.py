"""Rates: by block, by step, by classifier; LARS; stochastic depth; each against its definition."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from test_train import job, journal
from torch import nn

from acclimate.errors import RecipeError
from acclimate.images import Images
from acclimate.models import Backbone, Preprocess, from_module, load_backbone
from acclimate.training import plan, train
from acclimate.training.optimizer import Branch, Lars, build_optimizer, give_depth, set_depth
from acclimate.training.recipe import Stage
from acclimate.training.schedule import learning_rate

FULL = Stage(scope="all", steps=4, batch=16, lr=0.01, optimizer="sgd")


def scales(network: nn.Module, stage: Stage) -> dict[str, float]:
    """Return the factor of each parameter's rate by name."""
    optimizer = build_optimizer(network, nn.ModuleDict(), stage)
    assert optimizer is not None
    factor = {id(p): group["scale"] for group in optimizer.param_groups for p in group["params"]}
    return {name: factor[id(p)] for name, p in network.named_parameters()}


def test_layer_decay_of_a_transformer_is_beit_s() -> None:
    """BEiT: rate * decay ^ (depth + 1 - layer); embeddings are layer 0, block i is layer i + 1, the head depth + 1."""
    network = timm.create_model("vit_tiny_patch16_224", num_classes=3, img_size=32, depth=5)
    found = scales(network, FULL.model_copy(update={"layer_decay": 0.65, "backbone_lr": 0.5}))
    assert found["head.weight"] == 1
    for name, value in found.items():
        layer = int(name.split(".")[1]) + 1 if name.startswith("blocks.") else 0
        if not name.startswith(("norm.", "head.")):
            assert value == pytest.approx(0.5 * 0.65 ** (6 - layer)), name
    assert found["norm.weight"] == pytest.approx(0.5 * 0.65)  # timm counts the last norm to the last block


def test_layer_decay_of_a_convolutional_network_falls_stage_by_stage() -> None:
    found = scales(timm.create_model("resnet18", num_classes=3), FULL.model_copy(update={"layer_decay": 0.5}))
    assert found["fc.weight"] == 1
    for stage in (1, 2, 3, 4):
        own = {value for name, value in found.items() if name.startswith(f"layer{stage}.")}
        assert own == {0.5 ** (5 - stage)}
    assert found["conv1.weight"] == 0.5**5


def test_without_decay_there_is_one_rate_and_blocks_are_needed_for_more() -> None:
    network = timm.create_model("test_vit", num_classes=3)
    assert set(scales(network, FULL.model_copy(update={"backbone_lr": 0.3})).values()) == {0.3, 1.0}
    own = from_module(
        nn.Sequential(nn.Conv2d(3, 4, 3)), name="own", features=4, preprocess=Preprocess((32, 32))
    ).network(3)
    with pytest.raises(RecipeError, match=r"got layer_decay 0\.5; Headed has no blocks that timm could count"):
        build_optimizer(own, nn.ModuleDict(), FULL.model_copy(update={"layer_decay": 0.5}))


def test_rates_by_step() -> None:
    drops = (0.3, 0.6, 0.9)
    rates = [learning_rate(t, 1000, base=0.01, warmup=80, shape="steps", drops=drops) for t in range(1000)]
    assert rates[:80] == pytest.approx(np.arange(1, 81) / 80 * 0.01)
    assert [rates[t] for t in (80, 299, 300, 599, 600, 899, 900, 999)] == pytest.approx(
        [0.01, 0.01, 1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5]
    )
    assert {learning_rate(t, 10, base=2.0, warmup=0, shape="constant") for t in range(10)} == {2.0}


def test_the_loop_follows_the_schedule(images: Images, tmp_path: Path) -> None:
    stage = FULL.model_copy(update={"schedule": "steps", "drops": (0.5,), "warmup": 0.0})
    train(job(load_backbone("random:test_resnet", image_size=32), images, stage), tmp_path)
    assert [line["lr"] for line in journal(tmp_path)] == pytest.approx([0.01, 0.01, 0.001, 0.001])


def test_momentum_and_nesterov_reach_sgd() -> None:
    network = timm.create_model("test_resnet", num_classes=3)
    for momentum, nesterov in ((0.5, False), (0.9, True), (0.0, False)):
        stage = FULL.model_copy(update={"momentum": momentum, "nesterov": nesterov})
        optimizer = build_optimizer(network, nn.ModuleDict(), stage)
        assert optimizer is not None
        assert {(g["momentum"], g["nesterov"]) for g in optimizer.param_groups} == {(momentum, nesterov)}


def test_lars_is_its_definition() -> None:
    rng = np.random.default_rng(0)
    w0, b0 = rng.normal(size=(3, 4)), rng.normal(size=3)
    w, b = (nn.Parameter(torch.tensor(value)) for value in (w0, b0))
    optimizer = Lars([{"params": [w], "weight_decay": 0.1}, {"params": [b], "weight_decay": 0.0}], lr=0.5, momentum=0.9)
    vw, vb = np.zeros_like(w0), np.zeros_like(b0)
    for _ in range(3):
        gw, gb = rng.normal(size=w0.shape), rng.normal(size=b0.shape)
        w.grad, b.grad = torch.tensor(gw), torch.tensor(gb)
        optimizer.step()
        change = gw + 0.1 * w0
        vw = 0.9 * vw + 0.001 * np.linalg.norm(w0) / np.linalg.norm(change) * change
        vb = 0.9 * vb + gb
        w0, b0 = w0 - 0.5 * vw, b0 - 0.5 * vb
    np.testing.assert_allclose(w.detach().numpy(), w0, rtol=1e-12)
    np.testing.assert_allclose(b.detach().numpy(), b0, rtol=1e-12)


def test_lars_leaves_zero() -> None:
    w = nn.Parameter(torch.zeros(2, 2))
    w.grad = torch.ones(2, 2)
    Lars([{"params": [w]}], lr=0.5, momentum=0.9).step()
    assert torch.equal(w.detach(), torch.full((2, 2), -0.5))


@pytest.mark.parametrize("architecture", ["test_resnet", "test_vit", "test_convnext"])
def test_depth_is_what_timm_builds(architecture: str) -> None:
    backbone = load_backbone(f"random:{architecture}", image_size=64)
    network = backbone.network(3)
    give_depth(network, backbone)
    set_depth(network, 0.2)
    timms = timm.create_model(architecture, num_classes=3, drop_path_rate=0.2, **backbone.arguments)
    expected = {name: m.drop_prob for name, m in timms.named_modules() if type(m).__name__ == "DropPath"}
    found = {name: m.drop_prob for name, m in network.named_modules() if isinstance(m, Branch)}
    assert {name: p for name, p in found.items() if p} == pytest.approx({n: p for n, p in expected.items() if p})
    assert 0.1 < max(found.values()) == pytest.approx(max(expected.values()))
    assert network.state_dict().keys() == backbone.network(3).state_dict().keys()
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(network.eval()(x), backbone.network(3).eval()(x))
    network.train()
    set_depth(network, 0.9)
    for name, parameter in network.named_parameters():
        if name.endswith("bn2.weight"):  # a random ResNet's branches are all zeros: leaving one out shows nowhere
            nn.init.ones_(parameter)
    x = torch.randn(16, 3, 64, 64)
    torch.manual_seed(0)
    first = network.forward_features(x)
    torch.manual_seed(1)
    assert not torch.equal(first, network.forward_features(x))


def test_depth_is_refused_where_there_is_none(images: Images) -> None:
    own = from_module(nn.Sequential(nn.Conv2d(3, 4, 3)), name="own", features=4, preprocess=Preprocess((32, 32)))
    with pytest.raises(RecipeError, match=r"got drop_path for 'module:Sequential', which has no stochastic depth"):
        plan(job(own, images, FULL.model_copy(update={"drop_path": 0.1})))


def test_depth_is_on_in_its_own_stage_only(images: Images, tmp_path: Path) -> None:
    from acclimate.training import prepare_stage

    backbone: Backbone = load_backbone("random:test_vit", image_size=32)
    two = job(backbone, images, FULL, FULL.model_copy(update={"drop_path": 0.3}))
    for index, rate in ((0, 0.0), (1, 0.3)):
        network = prepare_stage(two, index, tmp_path).network
        assert max(m.drop_prob for m in network.modules() if isinstance(m, Branch)) == pytest.approx(rate)


def test_the_last_step_is_kept_where_that_is_asked(images: Images, tmp_path: Path) -> None:
    """With a rate that wrecks the network in the end: `best` comes back from before, `last` does not."""
    wild = Stage(scope="head", augment="none", epochs=30, batch=16, lr=3.0, clip=0.0)
    backbone = load_backbone("random:test_resnet", image_size=32)
    best, last = (
        train(job(backbone, images, wild.model_copy(update={"keep": keep})), tmp_path / keep)
        for keep in ("best", "last")
    )
    assert not torch.equal(best.network.get_parameter("fc.weight"), last.network.get_parameter("fc.weight"))
    assert last.reports[0].best_step != last.reports[0].steps
