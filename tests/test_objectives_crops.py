"""SwAV, DINO, MAE, rotation and batch-norm statistics against formulas written out here, and their resume law."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acclimate.errors import RecipeError
from acclimate.models.network import feature_width, pooled, takes_any_size
from acclimate.models.scope import freeze, parse_scope, select, set_mode
from acclimate.objectives import (
    DINO,
    MAE,
    OBJECTIVES,
    DINOSettings,
    MAESettings,
    NormStats,
    NormStatsSettings,
    ObjectiveSettings,
    Rotation,
    RotationSettings,
    SwAV,
    SwAVSettings,
)
from acclimate.objectives.mae import encode, patchify, positions
from acclimate.objectives.parts import Number, crop_features
from acclimate.views import AUGMENTS, Augment, view_size

SWAV = {"hidden": 32, "out": 16, "prototypes": 24, "small_crops": 2}
DINO_SMALL = {"hidden": 32, "bottleneck": 16, "out": 40, "small_crops": 2}
CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("swav", "test_resnet", SWAV),
    ("swav", "test_vit3", {**SWAV, "queue": 12, "head_norm": "layer"}),
    ("dino", "test_resnet", {**DINO_SMALL, "freeze": 0.5}),
    ("dino", "test_vit", DINO_SMALL),
    ("mae", "test_vit", {"width": 32}),
    ("mae", "test_vit2", {"width": 32, "depth": 1}),
    ("mae", "test_vit3", {"width": 32, "depth": 1}),
    ("rotation", "test_convnext", {}),
    ("norm-stats", "test_resnet", {"prior": 6}),
]
IDS = [f"{name},{architecture}" for name, architecture, _ in CASES]


def network(architecture: str = "test_resnet", scope: str = "all") -> nn.Module:
    torch.manual_seed(0)
    size = {"img_size": 64} if "vit" in architecture else {}
    net: nn.Module = timm.create_model(architecture, num_classes=0, **size)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):  # as if it had been trained: statistics that are not 0 and 1
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    freeze(net, select(net, parse_scope(scope)))
    set_mode(net)
    return net


def build(name: str, net: nn.Module, **options: Any) -> tuple[Any, nn.ModuleDict]:
    kind, settings = OBJECTIVES[name]
    objective = kind(settings(**options))
    width = feature_width(net, (64, 64))
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return objective, objective.setup(net, features=width, class_counts=[])


def random_views(augments: Sequence[Augment], n: int, seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    sizes = [view_size((64, 64), augment.scale) for augment in augments]
    return [torch.randn(n, 3, *size, generator=generator) for size in sizes]


class Run:
    """A few steps of training, with the random numbers of a step seeded by its number, as in the loop."""

    def __init__(self, name: str, architecture: str, options: dict[str, Any]) -> None:
        self.net = network(architecture)
        self.objective, self.extra = build(name, self.net, **options)
        trained = [p for module in (self.net, self.extra) for p in module.parameters() if p.requires_grad]
        self.optimizer = torch.optim.SGD(trained, lr=0.05)

    def step(self, number: int, steps: int = 10) -> Tensor:
        views = random_views(self.objective.views, 4, seed=number)
        torch.manual_seed(number)
        loss: Tensor = self.objective.loss(views, None)
        if not self.objective.gradient_free:
            loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
        self.objective.after_step((number + 1) / steps)
        return loss.detach()


def shapes(module: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in module.state_dict().items()}


@pytest.mark.parametrize(("name", "architecture", "options"), CASES, ids=IDS)
def test_a_resumed_run_is_the_unbroken_one(name: str, architecture: str, options: dict[str, Any]) -> None:
    """A checkpoint is the network's and the extra state dict; its shapes never change."""
    unbroken = Run(name, architecture, options)
    before = shapes(unbroken.extra)
    for number in range(3):
        assert torch.isfinite(unbroken.step(number))
        assert shapes(unbroken.extra) == before
    resumed = Run(name, architecture, options)
    resumed.net.load_state_dict(copy.deepcopy(unbroken.net.state_dict()))
    resumed.extra.load_state_dict(copy.deepcopy(unbroken.extra.state_dict()))
    for number in range(3, 5):
        assert torch.equal(unbroken.step(number), resumed.step(number))
    for ours, theirs in ((unbroken.net, resumed.net), (unbroken.extra, resumed.extra)):
        for key, tensor in ours.state_dict().items():
            assert torch.equal(tensor, theirs.state_dict()[key]), key


@pytest.mark.parametrize(
    ("name", "architecture", "options"), [case for case in CASES if case[0] != "norm-stats"], ids=IDS[:-1]
)
def test_the_gradient_reaches_the_backbone(name: str, architecture: str, options: dict[str, Any]) -> None:
    run = Run(name, architecture, options)
    run.objective.loss(random_views(run.objective.views, 6, seed=0), None).backward()
    first = next(p for p in run.net.parameters() if p.ndim > 1)
    assert first.grad is not None
    assert float(first.grad.abs().sum()) > 0
    assert all(p.requires_grad or p.grad is None for p in run.extra.parameters())


@pytest.mark.parametrize("name", ["swav", "dino", "mae", "rotation", "norm-stats"])
def test_the_paper_s_numbers_are_settings(name: str) -> None:
    kind, settings = OBJECTIVES[name]
    assert isinstance(settings(**kind.paper.options), ObjectiveSettings)
    assert "arXiv" in kind.paper.source
    assert (kind.paper.optimizer == "") == kind.gradient_free
    assert not kind.needs_labels


# multi-crop


@pytest.mark.parametrize(("name", "options"), [("swav", SWAV), ("dino", DINO_SMALL)])
@pytest.mark.parametrize(
    ("architecture", "sides"),
    [("test_resnet", [64, 64, 32, 32]), ("test_vit", [64, 64, 32, 32]), ("test_vit3", [64, 64, 64, 64])],
)
def test_small_crops_are_small_where_the_network_takes_them(
    name: str, options: dict[str, Any], architecture: str, sides: list[int]
) -> None:
    """test_vit resamples its position embeddings, test_vit3 has a fixed grid."""
    net = network(architecture)
    assert takes_any_size(net) == (sides[-1] < 64)
    objective, _ = build(name, net, **options)
    assert [view_size((64, 64), view.scale)[0] for view in objective.views] == sides
    split = objective.settings.split
    assert [view.crop for view in objective.views] == [(split, 1.0)] * 2 + [(0.05, split)] * 2
    assert torch.isfinite(objective.loss(random_views(objective.views, 4, seed=0), None))


@pytest.mark.parametrize("name", ["swav", "dino"])
def test_without_small_crops_there_are_two_views(name: str) -> None:
    objective, _ = build(name, network(), small_crops=0)
    assert [view.scale for view in objective.views] == [1.0, 1.0]
    assert torch.isfinite(objective.loss(random_views(objective.views, 4, seed=0), None))


def test_the_trial_of_sizes_leaves_no_trace() -> None:
    net = network("test_resnet", "norm")
    before = copy.deepcopy(net.state_dict())
    modes = [module.training for module in net.modules()]
    assert len(set(modes)) == 2
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    assert takes_any_size(net)
    assert torch.equal(torch.rand(1), expected)
    assert [module.training for module in net.modules()] == modes
    assert all(torch.equal(tensor, net.state_dict()[key]) for key, tensor in before.items())


# SwAV


def codes(scores: Tensor, epsilon: float, rounds: int) -> Tensor:
    """Sinkhorn-Knopp (Cuturi 2013): (b, K), rows share out 1 each, columns b / K each, in float64."""
    q = (scores.double() / epsilon).exp()
    for _ in range(rounds):
        q = q / q.sum(0, keepdim=True) / q.shape[1]  # prototypes are used evenly
        q = q / q.sum(1, keepdim=True)  # every image has one code
    return q


def swav_formula(objective: SwAV, views: list[Tensor], earlier: Tensor | None) -> Tensor:
    z = F.normalize(objective.projector(crop_features(objective.network, views)), dim=1)
    weight = objective.prototypes.heads[0].weight
    torch.testing.assert_close(weight.norm(dim=1), torch.ones(len(weight)))
    scores = [part @ weight.T for part in z.chunk(len(views))]
    terms = []
    for i in (0, 1):
        pool = scores[i] if earlier is None else torch.cat([scores[i], earlier[i] @ weight.T])
        q = codes(pool.detach(), 0.05, 3)[: len(scores[i])]
        for v in range(len(views)):
            if v != i:
                terms.append(-(q * (scores[v] / 0.1).log_softmax(1)).sum(1).mean())
    return torch.stack(terms).mean().float()


@pytest.mark.parametrize("queue", [0, 9])
def test_swav_is_the_paper_s_formula(queue: int) -> None:
    net = network()
    objective, extra = build("swav", net, **SWAV, queue=queue, freeze=0, epsilon=0.05)
    assert isinstance(objective, SwAV)
    queued: list[Tensor] = []
    for number in range(3):  # the queue of 9 is full after two batches of 6
        views = random_views(objective.views, 6, seed=number)
        full = queue > 0 and number == 2
        earlier = torch.cat(queued[::-1], dim=1)[:, :9] if full else None
        expected = swav_formula(copy.deepcopy(objective), views, earlier)
        torch.testing.assert_close(objective.loss(views, None), expected)
        z = F.normalize(objective.projector(crop_features(net, views)), dim=1).detach()
        queued.append(z[:12].view(2, 6, -1))
        objective.after_step((number + 1) / 10)
    assert extra["queue"].features.shape == (2, queue, 16)
    assert objective.queue.full == (queue > 0)


def test_swav_prototypes_stay_frozen_and_on_the_sphere() -> None:
    run = Run("swav", "test_resnet", {**SWAV, "freeze": 0.25})
    weight = run.objective.prototypes.heads[0].weight
    start = weight.detach().clone()
    for number in range(2):
        run.step(number)  # after steps 1 and 2 of 10 the progress is 0.1 and 0.2
    torch.testing.assert_close(weight, start, atol=1e-6, rtol=0)
    run.step(2)  # begins at progress 0.2
    torch.testing.assert_close(weight, start, atol=1e-6, rtol=0)
    run.step(3)
    assert not torch.allclose(weight, start, atol=1e-5)
    torch.testing.assert_close(weight.norm(dim=1), torch.ones(24))


def test_swav_collapse_to_one_point_has_the_loss_of_a_guess() -> None:
    """All features equal: the codes are even, so the cross-entropy is that of the even distribution at the least."""
    objective, _ = build("swav", network(), **SWAV)
    for parameter in objective.projector.parameters():
        nn.init.constant_(parameter, 0.1)
    loss = objective.loss(random_views(objective.views, 6, seed=0), None)
    assert float(loss.detach()) >= math.log(24) - 1e-5


# DINO


def dino_formula(objective: DINO, views: list[Tensor], temperature: float) -> Tensor:
    def outputs(net: nn.Module, head: Any, some: list[Tensor]) -> list[Tensor]:
        hidden = F.normalize(head.mlp(crop_features(net, some)), dim=1)
        weight = head.last.weight / head.last.weight.norm(dim=1, keepdim=True)
        return list((hidden @ weight.T).chunk(len(some)))

    goals = outputs(objective.teacher, objective.teacher_head, views[:2])
    guesses = outputs(objective.network, objective.head, views)
    centre = objective.criterion.center.flatten()
    terms = [
        -(((goals[i] - centre) / temperature).softmax(1) * (guesses[v] / 0.1).log_softmax(1)).sum(1).mean()
        for i in (0, 1)
        for v in range(len(views))
        if v != i
    ]
    return torch.stack(terms).mean()


def test_dino_is_the_paper_s_formula() -> None:
    """Centred, sharpened, every pair of a full view and another; the temperature warms up over 0.3 of the steps."""
    run = Run("dino", "test_resnet", {**DINO_SMALL, "teacher_start": 0.02, "teacher_end": 0.08, "teacher_warmup": 0.3})
    for number, temperature in enumerate([0.02, 0.04, 0.06, 0.08, 0.08]):
        views = random_views(run.objective.views, 6, seed=number)
        expected = dino_formula(copy.deepcopy(run.objective), views, temperature)
        torch.testing.assert_close(run.objective.loss(views, None), expected)
        run.step(number)
    assert float(run.objective.criterion.center.abs().max()) > 0


def test_dino_s_centre_follows_the_mean_output_of_a_step() -> None:
    """Once a step, however many batches were accumulated for it (equation 4)."""
    objective, extra = build("dino", network(), **DINO_SMALL, center=0.8)
    centre, outputs = torch.zeros(40), []
    for step in range(2):
        for part in range(2):
            views = random_views(objective.views, 6, seed=2 * step + part)
            with torch.no_grad():
                goal = copy.deepcopy(objective.teacher_head)(crop_features(copy.deepcopy(objective.teacher), views[:2]))
            outputs.append(goal)
            objective.loss(views, None)
            torch.testing.assert_close(extra["criterion"].center.flatten(), centre)
        centre = 0.8 * centre + 0.2 * torch.cat(outputs[-2:]).mean(0)
        objective.after_step((step + 1) / 4)
        torch.testing.assert_close(extra["criterion"].center.flatten(), centre)


def test_dino_s_teacher_has_no_gradient_and_follows() -> None:
    run = Run("dino", "test_resnet", {**DINO_SMALL, "ema": 0.9, "freeze": 0.1})
    objective = run.objective
    last = objective.head.last.weight
    start, before = last.detach().clone(), objective.teacher.conv1[0].weight.clone()
    run.step(0)
    assert torch.equal(last, start)  # frozen in the first tenth
    momentum = 1 - 0.1 * (math.cos(0.1 * math.pi) + 1) / 2
    expected = momentum * before + (1 - momentum) * run.net.conv1[0].weight
    torch.testing.assert_close(objective.teacher.conv1[0].weight, expected)
    run.step(1)
    assert not torch.equal(last, start)
    assert all(p.grad is None for p in run.extra["targets"].parameters())


def test_dino_s_head_is_lightly_s() -> None:
    """The same function as lightly's head of the same weights, whose scale is fixed at 1."""
    lightly = pytest.importorskip("lightly.models.modules.heads")
    objective, _ = build("dino", network(), **DINO_SMALL)
    with pytest.warns(FutureWarning, match="weight_norm"):
        theirs = lightly.DINOProjectionHead(96, 32, 16, 40)
    theirs.layers.load_state_dict(objective.head.mlp.layers.state_dict())
    theirs.last_layer.weight_v.data.copy_(objective.head.last.weight)
    x = torch.randn(5, 96, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(objective.head(x), theirs(x))


# MAE


@pytest.mark.parametrize("architecture", ["test_vit", "test_vit2", "test_vit3"])
def test_mae_s_encoder_is_the_network(architecture: str) -> None:
    """With every patch visible, in any order, the tokens are those of the network itself."""
    net = network(architecture).eval()
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    order = torch.randperm(16, generator=torch.Generator().manual_seed(1)).expand(2, -1)
    with torch.no_grad():
        whole, ours = net.forward_features(x), encode(net, x, order)
    prefix = whole.shape[1] - 16
    torch.testing.assert_close(ours[:, :prefix], whole[:, :prefix])
    torch.testing.assert_close(ours[:, prefix:], whole[:, prefix:][:, order[0]])


def test_mae_is_the_paper_s_formula() -> None:
    net = network("test_vit")
    objective, _ = build("mae", net, width=32)
    assert isinstance(objective, MAE)
    x = random_views(objective.views, 5, seed=0)[0]
    torch.manual_seed(4)
    visible, masked = objective._mask(5, 16)
    assert (visible.shape, masked.shape) == ((5, 4), (5, 12))  # three quarters are masked
    assert torch.equal(torch.cat([visible, masked], dim=1).sort(dim=1).values, torch.arange(16).expand(5, -1))
    predicted = objective.decoder(encode(net, x, visible), visible, (4, 4))
    errors = []
    for i in range(5):
        for j in masked[i].tolist():
            top, left = divmod(j, 4)
            patch = x[i, :, 16 * top : 16 * top + 16, 16 * left : 16 * left + 16].flatten()
            patch = (patch - patch.mean()) / (patch.var() + 1e-6).sqrt()
            errors.append((predicted[i, j] - patch).square().mean())
    torch.manual_seed(4)
    torch.testing.assert_close(objective.loss([x], None), torch.stack(errors).mean())


def test_mae_sees_nothing_of_what_is_masked() -> None:
    """Other pixels in the masked patches change the target, not the prediction."""
    net = network("test_vit").eval()
    objective, _ = build("mae", net, width=32)
    x = random_views(objective.views, 2, seed=0)[0]
    visible, masked = objective._mask(2, 16)
    other = patchify(x, (16, 16)).scatter(1, masked[:, :, None].expand(-1, -1, 768), 7.0)
    y = F.fold(other.transpose(1, 2), (64, 64), 16, stride=16)
    assert not torch.equal(x, y)
    torch.testing.assert_close(
        objective.decoder(encode(net, x, visible), visible, (4, 4)),
        objective.decoder(encode(net, y, visible), visible, (4, 4)),
    )


def test_mae_learns_a_picture() -> None:
    """One image again and again, whose every patch is the same ramp: the error falls far below that of the mean."""
    run = Run("mae", "test_vit", {"width": 32})
    ramp = torch.linspace(-1, 1, 16).expand(1, 3, 16, 16).repeat(4, 1, 4, 4)
    optimizer = torch.optim.AdamW([*run.net.parameters(), *run.extra.parameters()], lr=3e-3)
    losses = []
    for number in range(20):
        torch.manual_seed(number)
        loss = run.objective.loss([ramp], None)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert 0.8 < losses[0] < 2
    assert losses[-1] < 0.1


def test_positions_tell_all_patches_apart() -> None:
    table = positions((3, 5), 32)
    assert table.shape == (15, 32)
    assert torch.cdist(table, table).add(torch.eye(15) * 9).min() > 0.1
    torch.testing.assert_close(
        table[7, 24:32], (torch.arange(8) / 8 * -math.log(10_000)).exp().mul(2).cos()
    )  # column 2
    torch.testing.assert_close(table[7, :8], (torch.arange(8) / 8 * -math.log(10_000)).exp().mul(1).sin())  # row 1


@pytest.mark.parametrize(("architecture", "kind"), [("test_resnet", "ResNet"), ("test_convnext", "ConvNeXt")])
def test_mae_refuses_what_has_no_patches(architecture: str, kind: str) -> None:
    message = rf"got {kind}, expected a plain vision transformer such as timm:vit_small_patch16_224; choose another"
    with pytest.raises(RecipeError, match=message) as caught:
        MAE(MAESettings()).setup(network(architecture), features=96, class_counts=[])
    assert "\n" not in str(caught.value)


def test_mae_refuses_a_single_patch() -> None:
    objective, _ = build("mae", network("test_vit"), width=32)
    with pytest.raises(RecipeError, match=r"views of 16x16 pixels, which are a single patch, expected several"):
        objective.loss([torch.zeros(2, 3, 16, 16)], None)


# Rotation


def test_rotation_is_the_paper_s_formula() -> None:
    net = network("test_convnext")  # no batch norm: images do not influence each other
    objective, _ = build("rotation", net)
    assert isinstance(objective, Rotation)
    x = random_views(objective.views, 3, seed=0)[0]
    log_p = []
    for image in x:
        for turn in range(4):
            turned = torch.rot90(image, turn, (1, 2))[None]
            log_p.append(objective.head(pooled(net, turned)).log_softmax(1)[0, turn])
    torch.testing.assert_close(objective.loss([x], None), -torch.stack(log_p).mean())


def test_rotation_needs_square_views() -> None:
    objective = Rotation(RotationSettings())
    objective.setup(network("test_convnext"), features=64, class_counts=[])
    with pytest.raises(RecipeError, match=r"'rotation': got views of 32x64 pixels, expected square ones"):
        objective.loss([torch.zeros(2, 3, 32, 64)], None)


# Batch-norm statistics


def pool(n: int = 24) -> Tensor:
    """Images whose brightness differs from batch to batch, so that the variance between batches counts."""
    generator = torch.Generator().manual_seed(5)
    return torch.randn(n, 3, 64, 64, generator=generator) + torch.linspace(-2, 2, n)[:, None, None, None]


@pytest.mark.parametrize("batch", [8, 24])
def test_norm_stats_are_those_of_the_whole_pool(batch: int) -> None:
    """Mean and total variance (within and between batches) of what the first batch norm sees."""
    net = network()
    objective, _ = build("norm-stats", net)
    first = net.conv1[1]  # the stem's first batch norm
    assert isinstance(first, nn.BatchNorm2d)
    weights = {name: p.clone() for name, p in net.named_parameters()}
    loss = [objective.loss([part], None) for part in pool().split(batch)][-1]
    assert (loss.item(), loss.requires_grad) == (0.0, False)
    with torch.no_grad():
        inputs = net.conv1[0](pool()).double()
    var, mean = torch.var_mean(inputs, dim=(0, 2, 3), correction=0)
    torch.testing.assert_close(first.running_mean.double(), mean, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(first.running_var.double(), var, atol=0, rtol=1e-4)
    assert all(torch.equal(p, weights[name]) for name, p in net.named_parameters())


def test_norm_stats_of_one_batch_are_torch_s_at_every_layer() -> None:
    net = network()
    reference = copy.deepcopy(net)
    objective, _ = build("norm-stats", net)
    norms = [m for m in reference.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    sizes: dict[nn.Module, int] = {}
    for norm in norms:
        norm.register_forward_pre_hook(lambda m, x: sizes.update({m: x[0].numel() // x[0].shape[1]}))
    with torch.no_grad():
        pooled(reference, pool())
    objective.loss([pool()], None)
    ours = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(ours) == len(norms) > 5
    for a, b in zip(ours, norms, strict=True):
        torch.testing.assert_close(a.running_mean, b.running_mean)
        torch.testing.assert_close(a.running_var * sizes[b] / (sizes[b] - 1), b.running_var)


def test_norm_stats_prior_counts_as_images() -> None:
    """N / (N + n) source + n / (N + n) target (Schneider et al. 2020), after every batch."""
    alone, mixed = network(), network()
    target, _ = build("norm-stats", alone)
    objective, _ = build("norm-stats", mixed, prior=16)
    source = copy.deepcopy(mixed.conv1[1])
    for number, part in enumerate(pool().split(8)):
        target.loss([part], None)
        objective.loss([part], None)
        share = 8 * (number + 1) / (16 + 8 * (number + 1))
        for name in ("running_mean", "running_var"):
            mixture = (1 - share) * getattr(source, name) + share * getattr(alone.conv1[1], name)
            torch.testing.assert_close(getattr(mixed.conv1[1], name), mixture)


def test_norm_stats_leave_nothing_else_changed() -> None:
    net = network("test_resnet")
    net.conv1[1].momentum = None
    before = [(m.training, getattr(m, "momentum", 0), len(m._forward_pre_hooks)) for m in net.modules()]
    state = copy.deepcopy(net.state_dict())
    objective, _ = build("norm-stats", net)
    objective.loss([pool(8)], None)
    assert [(m.training, getattr(m, "momentum", 0), len(m._forward_pre_hooks)) for m in net.modules()] == before
    changed = {key.rpartition(".")[2] for key, t in net.state_dict().items() if not torch.equal(t, state[key])}
    assert changed == {"running_mean", "running_var", "num_batches_tracked"}


def test_norm_stats_keep_to_the_scope() -> None:
    net = network()
    net.layer1.eval()
    frozen = copy.deepcopy(net.layer1.state_dict())
    objective = NormStats(NormStatsSettings())
    objective.setup(net, features=96, class_counts=[])
    for part in pool().split(8):
        objective.loss([part], None)
    assert all(torch.equal(t, net.layer1.state_dict()[key]) for key, t in frozen.items())
    net.eval()
    with pytest.raises(RecipeError, match=r"got ResNet with all \d+ batch norms frozen, .* scope to 'stats'"):
        objective.loss([pool(8)], None)


def test_norm_stats_make_evaluation_see_what_training_saw() -> None:
    """In evaluation after it, the pool's features are those of one batch-norm batch over the pool."""
    net = network()
    objective, _ = build("norm-stats", net)
    objective.loss([pool()], None)
    with torch.no_grad():
        as_batch = pooled(copy.deepcopy(net).train(), pool())
        alone = pooled(net.eval(), pool())
    torch.testing.assert_close(alone, as_batch, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(("architecture", "kind"), [("test_vit", "VisionTransformer"), ("test_convnext", "ConvNeXt")])
def test_norm_stats_need_batch_norms(architecture: str, kind: str) -> None:
    with pytest.raises(RecipeError, match=rf"'norm-stats': got {kind}, which has no batch norm .* such as byol"):
        NormStats(NormStatsSettings()).setup(network(architecture), features=64, class_counts=[])


def test_the_views_of_norm_stats_are_those_of_evaluation() -> None:
    assert NormStats.views == (AUGMENTS["none"],)


# Number


def test_a_number_lives_in_the_state_dict_and_not_on_a_device() -> None:
    holder = nn.ModuleDict({"number": Number()})
    holder["number"].value = 1 / 3
    holder.to(torch.device("meta"))
    state = holder.state_dict()
    assert {key: tuple(t.shape) for key, t in state.items()} == {"number._extra_state": ()}
    other = nn.ModuleDict({"number": Number()})
    other.load_state_dict(state)
    assert other["number"].value == 1 / 3  # to the bit


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        (SwAVSettings, {"split": 0.05}),
        (SwAVSettings, {"epsilon": 0.001}),
        (DINOSettings, {"teacher_end": 0}),
        (MAESettings, {"mask": 1.0}),
        (MAESettings, {"width": 100}),
        (NormStatsSettings, {"prior": -1}),
        (NormStatsSettings, {"prior": math.inf}),
        (RotationSettings, {"turns": 8}),
    ],
)
def test_settings_out_of_range_are_refused(settings: type[ObjectiveSettings], options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        settings(**options)
