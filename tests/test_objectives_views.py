"""SimSiam, SimCLR, MoCo, Barlow Twins and VICReg against their papers' formulas, and what all of them promise."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import timm
import torch
from lightly.models.modules.heads import ProjectionHead
from torch import Tensor, nn

from acclimate.models.network import pooled
from acclimate.models.scope import freeze, parse_scope, select, set_mode
from acclimate.objectives import (
    OBJECTIVES,
    Barlow,
    BarlowSettings,
    MoCoV2,
    MoCoV2Settings,
    MoCoV3,
    MoCoV3Settings,
    SimCLR,
    SimCLRSettings,
    SimSiam,
    SimSiamSettings,
    VICReg,
    VICRegSettings,
)
from acclimate.objectives.moco_v2 import Queue
from acclimate.objectives.parts import Momentum, in_float32
from acclimate.views import AUGMENTS

NAMES = ("simsiam", "simclr", "moco-v2", "moco-v3", "barlow", "vicreg")
MOMENTUM = ("moco-v2", "moco-v3")
WIDTH = {"test_resnet": 96, "test_convnext": 64, "test_vit": 64}
SMALL = {"hidden": 16, "out": 8, "predictor_hidden": 4, "queue": 12}


def network(architecture: str = "test_convnext", scope: str = "all") -> nn.Module:
    torch.manual_seed(0)
    size = {"img_size": 32} if architecture == "test_vit" else {}
    net: nn.Module = timm.create_model(architecture, num_classes=3, **size)
    freeze(net, select(net, parse_scope(scope)))
    set_mode(net)
    return net


def pair(n: int = 8, seed: int = 1) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, 3, 32, 32, generator=generator) for _ in range(2)]


def build(name: str, net: nn.Module, features: int = 64, **options: Any) -> tuple[Any, nn.ModuleDict]:
    """Return a small objective that is set up, and what it keeps; options that it does not have are left out."""
    kind, settings = OBJECTIVES[name]
    values = {key: value for key, value in {**SMALL, **options}.items() if key in settings.model_fields}
    torch.manual_seed(3)
    objective = kind(settings(**values))
    return objective, objective.setup(net, features=features, class_counts=[])


def train(objective: Any, net: nn.Module, extra: nn.ModuleDict, steps: int, start: int = 0) -> list[Tensor]:
    """Do plain gradient steps; return the losses. Without state but what network and extra hold."""
    parameters = [p for p in [*net.parameters(), *extra.parameters()] if p.requires_grad]
    losses = []
    for step in range(start, start + steps):
        loss = objective.loss(pair(8, seed=step), None)
        losses.append(loss.detach())
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                if gradient is not None:
                    parameter -= 0.01 * gradient
        objective.after_step((step + 1) / 10)
    return losses


def unit(x: Tensor) -> Tensor:
    return x / x.square().sum(1, keepdim=True).sqrt()


# --- the formulas, written out ---


def test_simsiam_is_the_paper_s_formula() -> None:
    """L = D(p1, z2) / 2 + D(p2, z1) / 2 with D the negative cosine (Chen and He 2020, equations 1-2)."""
    net = network()
    objective = SimSiam(SimSiamSettings(hidden=16, out=8, predictor_hidden=4))
    objective.setup(net, features=64, class_counts=[])
    z = [objective.projector(pooled(net, x)) for x in pair()]
    p = [objective.predictor(each) for each in z]
    expected = -((unit(p[0]) * unit(z[1])).sum(1).mean() + (unit(p[1]) * unit(z[0])).sum(1).mean()) / 2
    torch.testing.assert_close(objective.loss(pair(), None), expected)


def test_simsiam_stops_the_gradient_into_the_goal() -> None:
    """Equation 4: with a predictor that gives a fixed direction, nothing is left that could reach the network."""
    net = network()
    objective = SimSiam(SimSiamSettings(hidden=16, out=8, predictor_hidden=4))
    objective.setup(net, features=64, class_counts=[])
    nn.init.zeros_(objective.predictor.layers[-1].weight)
    objective.loss(pair(), None).backward()
    assert objective.predictor.layers[-1].bias.grad.abs().sum() > 0
    assert all(p.grad is None or not p.grad.any() for p in [*net.parameters(), *objective.projector.parameters()])


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_simclr_is_the_paper_s_formula(temperature: float) -> None:
    """Each of the 2N views in turn, one term at a time (Chen et al. 2020, equation 1)."""
    net = network()
    objective = SimCLR(SimCLRSettings(hidden=16, out=8, temperature=temperature))
    objective.setup(net, features=64, class_counts=[])
    views = pair(5)
    z = unit(torch.cat([objective.projector(pooled(net, x)) for x in views]))
    terms = []
    for i in range(10):
        partner = (i + 5) % 10
        others = [k for k in range(10) if k != i]
        similar = {k: (z[i] @ z[k] / temperature).exp() for k in others}
        terms.append(-(similar[partner] / sum(similar.values())).log())
    torch.testing.assert_close(objective.loss(views, None), torch.stack(terms).mean())


@pytest.mark.parametrize("temperature", [0.07, 0.2])
def test_moco_v2_is_the_paper_s_formula(temperature: float) -> None:
    """-log exp(q k+ / t) / (exp(q k+ / t) + sum over the queue) (He et al. 2019, equation 1), for the second batch."""
    net = network()
    objective = MoCoV2(MoCoV2Settings(hidden=16, out=8, temperature=temperature, queue=12))
    objective.setup(net, features=64, class_counts=[])
    first, second = pair(5), pair(5, seed=2)
    random_keys = objective.queue.keys.clone()
    objective.loss(first, None)
    with torch.no_grad():
        earlier = unit(objective.target_projector(pooled(objective.target, first[1])))
        k = unit(objective.target_projector(pooled(objective.target, second[1])))
        q = unit(objective.projector(pooled(net, second[0])))
    negatives = torch.cat([earlier, random_keys[5:]])
    own = ((q * k).sum(1) / temperature).exp()
    expected = -(own / (own + (q @ negatives.T / temperature).exp().sum(1))).log().mean()
    torch.testing.assert_close(objective.loss(second, None).detach(), expected)


def test_moco_v3_is_the_paper_s_formula() -> None:
    """ctr(q1, k2) + ctr(q2, k1), each 2 t times the cross-entropy over the batch (Chen et al. 2021, algorithm 1)."""
    net = network()
    objective = MoCoV3(MoCoV3Settings(hidden=16, out=8, temperature=0.3))
    objective.setup(net, features=64, class_counts=[])
    with torch.no_grad():
        for p in objective.target_projector.parameters():
            p += 0.1  # keys that are not the projector's own outputs
    q = [unit(objective.predictor(objective.projector(pooled(net, x)))) for x in pair(5)]
    k = [unit(objective.target_projector(pooled(objective.target, x))) for x in pair(5)]
    expected = torch.zeros(())
    for a, b in ((0, 1), (1, 0)):
        for i in range(5):
            similar = (k[b] @ q[a][i] / 0.3).exp()
            expected = expected + 2 * 0.3 * -(similar[i] / similar.sum()).log() / 5
    torch.testing.assert_close(objective.loss(pair(5), None), expected)


def test_barlow_is_the_paper_s_formula() -> None:
    """Correlations one by one (Zbontar et al. 2021, equations 1-2)."""
    net = network()
    objective = Barlow(BarlowSettings(hidden=16, out=6, redundancy=0.02))
    objective.setup(net, features=64, class_counts=[])
    a, b = (objective.projector(pooled(net, x)) for x in pair())
    a, b = a - a.mean(0), b - b.mean(0)
    expected = torch.zeros(())
    for i in range(6):
        for j in range(6):
            c = (a[:, i] * b[:, j]).sum() / (a[:, i].square().sum().sqrt() * b[:, j].square().sum().sqrt())
            expected = expected + ((1 - c) ** 2 if i == j else 0.02 * c**2)
    # lightly standardises with a variance + 1e-5, as batch norm does
    torch.testing.assert_close(objective.loss(pair(), None), expected, rtol=1e-2, atol=1e-3)


def test_vicreg_is_the_paper_s_formula() -> None:
    """s, v and c (Bardes et al. 2021, equations 1-6); s is divided by the width and v by 2, as in the authors' code."""
    net = network()
    objective = VICReg(VICRegSettings(hidden=16, out=6, invariance=20, variance=10, covariance=3))
    objective.setup(net, features=64, class_counts=[])
    z = [objective.projector(pooled(net, x)) for x in pair()]
    s = sum((z[0][i] - z[1][i]).square().sum() for i in range(8)) / 8
    v, c = torch.zeros(()), torch.zeros(())
    for each in z:
        centred = each - each.mean(0)
        covariance = sum(torch.outer(row, row) for row in centred) / 7
        v = v + (1 - (covariance.diagonal() + 1e-4).sqrt()).clamp(min=0).mean()
        c = c + sum(covariance[i, j] ** 2 for i in range(6) for j in range(6) if i != j) / 6
    torch.testing.assert_close(objective.loss(pair(), None), 20 * s / 6 + 10 * v / 2 + 3 * c)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("simclr", torch.tensor(15.0).log()),  # one of 2b - 1 views
        ("moco-v3", 4 * 0.2 * torch.tensor(8.0).log()),  # one of b keys, twice
        ("barlow", torch.tensor(8.0)),  # every output misses its 1
        ("vicreg", torch.tensor(25 * 0.99)),  # every output has the standard deviation sqrt(0.0001)
    ],
)
def test_collapse_costs_what_the_docstring_says(name: str, expected: Tensor) -> None:
    net = network()
    objective, extra = build(name, net, head_norm="layer")
    for key in ("projector", "predictor"):
        if key in extra:
            extra[key].forward = _constant
    if name == "moco-v3":
        objective.target_projector.forward = _constant
    torch.testing.assert_close(objective.loss(pair(), None), expected, rtol=1e-4, atol=1e-4)


def _constant(x: Tensor) -> Tensor:
    return torch.ones(len(x), 8)


# --- what all of them promise ---


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n", [2, 8])
def test_layer_norm_heads_work_with_two_images(name: str, n: int) -> None:
    net = network()
    objective, extra = build(name, net, head_norm="layer")
    assert not any(isinstance(m, nn.BatchNorm1d) for m in extra.modules())
    loss = objective.loss(pair(n), None)
    assert loss.ndim == 0
    assert loss.dtype == torch.float32
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)
    if (name, n) != ("barlow", 2):  # two images are always perfectly correlated: its docstring says so
        assert net.stem[0].weight.grad.abs().sum() > 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_the_paper_s_options_are_settings(name: str) -> None:
    kind, settings = OBJECTIVES[name]
    assert settings(**kind.paper.options)
    assert "arXiv" in kind.paper.source
    assert kind.paper.optimizer in ("lars", "sgd", "adamw")


@pytest.mark.parametrize("name", NAMES)
def test_what_is_kept_has_its_final_shape_from_setup_on(name: str) -> None:
    net = network()
    objective, extra = build(name, net)
    before = {key: (value.shape, value.dtype) for key, value in extra.state_dict().items()}
    train(objective, net, extra, 3)
    assert {key: (value.shape, value.dtype) for key, value in extra.state_dict().items()} == before


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("architecture", ["test_resnet", "test_convnext"])
def test_a_fresh_objective_goes_on_from_network_and_extra_to_the_bit(name: str, architecture: str) -> None:
    net = network(architecture)
    objective, extra = build(name, net, WIDTH[architecture])
    train(objective, net, extra, 3)
    states = copy.deepcopy((net.state_dict(), extra.state_dict()))
    unbroken = train(objective, net, extra, 2, start=3)

    resumed_net = network(architecture)
    resumed, resumed_extra = build(name, resumed_net, WIDTH[architecture])
    resumed_net.load_state_dict(states[0])
    resumed_extra.load_state_dict(states[1])
    again = train(resumed, resumed_net, resumed_extra, 2, start=3)
    assert all(torch.equal(a, b) for a, b in zip(unbroken, again, strict=True))
    for key, value in extra.state_dict().items():
        assert torch.equal(value, resumed_extra.state_dict()[key]), key


@pytest.mark.parametrize("name", NAMES)
def test_the_views_never_share_batch_statistics(name: str) -> None:
    """Batch norm sees each view alone: its running mean is that of two updates, one after the other."""
    net = network("test_resnet")
    objective, _ = build(name, net, 96)
    first, second = pair()
    reference = copy.deepcopy(net)
    pooled(reference, first)
    if name != "moco-v2":  # its second view is the key encoder's alone
        pooled(reference, second)
    objective.loss([first, second], None)
    assert torch.equal(net.bn1.running_mean, reference.bn1.running_mean)


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_is_taken_in_float32_under_autocast(name: str) -> None:
    """The heads' outputs may be bfloat16; from there on not one bit is lost."""
    net = network()
    objective, extra = build(name, net)
    state = copy.deepcopy(extra.state_dict())
    outputs: list[Tensor] = []
    heads = [module for module in extra.modules() if isinstance(module, ProjectionHead)]
    handles = [head.register_forward_hook(lambda _, __, out: outputs.append(out.detach())) for head in heads]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = objective.loss(pair(), None)
    for handle in handles:
        handle.remove()
    assert {out.dtype for out in outputs} == {torch.bfloat16}
    extra.load_state_dict(state)
    replayed = iter(outputs)
    for head in heads:
        head.forward = lambda _: next(replayed).float()
    torch.testing.assert_close(loss.detach(), objective.loss(pair(), None), rtol=1e-6, atol=1e-6)


def test_float32_also_holds_inside_matrix_products() -> None:
    x = torch.randn(4, 64, generator=torch.Generator().manual_seed(0))

    def similarity(a: Tensor, b: Tensor) -> Tensor:
        return a @ b.T

    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert similarity(x, x).dtype == torch.bfloat16  # what it is there against
        exact = (x[:, None].double() * x[None].double()).sum(2)
        torch.testing.assert_close(in_float32(similarity, x, x).double(), exact, rtol=1e-5, atol=1e-5)


# --- moving targets and the queue ---


@pytest.mark.parametrize("name", MOMENTUM)
def test_the_key_encoder_moves_once_a_step(name: str) -> None:
    """However many batches a step accumulates; by no gradient, and nowhere but in ``after_step``."""
    net = network()
    objective, extra = build(name, net, ema=0.75)
    start = {key: value.clone() for key, value in extra["targets"].named_parameters()}
    with torch.no_grad():
        net.stem[0].weight += 1
        for parameter in objective.projector.parameters():
            parameter += 1
    for seed in (1, 2):
        objective.loss(pair(seed=seed), None).backward()
    assert all(torch.equal(value, start[key]) for key, value in extra["targets"].named_parameters())
    assert all(p.grad is None for p in extra["targets"].parameters())
    objective.after_step(0.0)
    moved = dict(extra["targets"].named_parameters())
    torch.testing.assert_close(moved["0.stem.0.weight"], start["0.stem.0.weight"] + 0.25)
    torch.testing.assert_close(moved["1.layers.0.weight"], start["1.layers.0.weight"] + 0.25)


@pytest.mark.parametrize(("schedule", "expected"), [("cosine", [0.4, 0.2, 0.0]), ("constant", [0.4, 0.4, 0.4])])
def test_the_momentum_rises_or_stays(schedule: str, expected: list[float]) -> None:
    """The step taken from 0 towards 1 is 1 - m; the half cosine is half way up at half time, and 1 at the end."""
    online = nn.Linear(1, 1, bias=False)
    momentum = Momentum([online], start=0.6, schedule=schedule)
    nn.init.ones_(online.weight)
    target = momentum.copies[0].weight
    for progress, step in zip((0.0, 0.5, 1.0), expected, strict=True):
        nn.init.zeros_(target)
        momentum.update(progress)
        assert float(target) == pytest.approx(step, abs=1e-6)


def test_moco_v2_has_the_paper_s_constant_momentum() -> None:
    objective, _ = build("moco-v2", network())
    assert objective.momentum.schedule == "constant"
    assert build("moco-v2", network(), ema_schedule="cosine")[0].momentum.schedule == "cosine"


@pytest.mark.parametrize("batch", [1, 3, 5, 7, 12, 16])
def test_the_queue_holds_the_last_keys(batch: int) -> None:
    """Against a list: batches that divide the queue or not, as long as it or longer."""
    torch.manual_seed(0)
    queue = Queue(5, 2)
    torch.testing.assert_close(queue.keys.norm(dim=1), torch.ones(5))
    rows = [tuple(row) for row in queue.keys.tolist()]
    for step in range(4):
        keys = torch.arange(2.0 * batch).reshape(batch, 2) + 100 * step
        queue.push(keys)
        rows = [*rows, *(tuple(row) for row in keys.tolist())][-5:]
        assert sorted(tuple(row) for row in queue.keys.tolist()) == sorted(rows)
        oldest = int(queue.pointer)
        assert [tuple(queue.keys[(oldest + i) % 5].tolist()) for i in range(5)] == rows


def test_the_queue_takes_the_keys_of_every_batch_and_gives_no_gradient() -> None:
    objective, extra = build("moco-v2", network(), queue=20)
    views = pair(8)
    with torch.no_grad():
        keys = unit(objective.target_projector(pooled(objective.target, views[1])))
    objective.loss(views, None).backward()
    torch.testing.assert_close(extra["queue"].keys[:8], keys)
    assert int(extra["queue"].pointer) == 8
    assert set(extra["queue"].state_dict()) == {"keys", "pointer"}
    assert not extra["queue"].keys.requires_grad


# --- architectures and views ---


@pytest.mark.parametrize(("freeze_it", "trains"), [(True, False), (False, True)])
def test_moco_v3_freezes_the_patch_embedding_of_a_transformer(freeze_it: bool, trains: bool) -> None:
    net = network("test_vit")
    objective, _ = build("moco-v3", net, freeze_patch_embed=freeze_it)
    objective.loss(pair(), None).backward()
    assert all(p.requires_grad == trains for p in net.patch_embed.parameters())
    assert (net.patch_embed.proj.weight.grad is not None) == trains
    assert net.blocks[0].attn.qkv.weight.grad.abs().sum() > 0


def test_moco_v3_freezes_nothing_of_a_convolutional_network() -> None:
    net = network("test_resnet")
    build("moco-v3", net, 96)
    assert all(p.requires_grad for p in net.parameters())


def test_layer_norm_takes_the_place_of_batch_norm() -> None:
    """Same widths, same first weights, and no scale where there was none."""
    heads = {norm: build("simsiam", network(), head_norm=norm)[1] for norm in ("batch", "layer")}
    pairs = list(zip(heads["batch"].modules(), heads["layer"].modules(), strict=True))
    norms = [(a, b) for a, b in pairs if isinstance(a, nn.BatchNorm1d)]
    assert [(b.normalized_shape[0], b.elementwise_affine) for _, b in norms] == [
        (a.num_features, a.affine) for a, _ in norms
    ]
    assert [a.affine for a, _ in norms] == [True, True, False, True]
    assert all(torch.equal(a.weight, b.weight) for a, b in pairs if isinstance(a, nn.Linear))


def test_views_are_the_papers() -> None:
    """MoCo v2's transform, in torchvision's order: crop, jitter .4 .4 .4 .1 at .8, grey .2, blur .5, flip."""
    moco = AUGMENTS["moco"]
    assert moco.crop == (0.2, 1.0)
    assert (moco.brightness, moco.contrast, moco.saturation, moco.hue) == (0.4, 0.4, 0.4, 0.1)
    assert (moco.jitter, moco.gray, moco.blur, moco.hflip, moco.solarize) == (0.8, 0.2, 0.5, 0.5, 0.0)
    views = {name: tuple(OBJECTIVES[name][0].views) for name in NAMES}
    assert views["moco-v2"] == views["simsiam"] == (moco, moco)
    assert views["simclr"] == (AUGMENTS["simclr"],) * 2
    assert views["moco-v3"] == views["barlow"] == views["vicreg"] == (AUGMENTS["byol-1"], AUGMENTS["byol-2"])
