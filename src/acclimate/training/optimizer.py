"""The optimizer of a stage: what is new learns at the full rate, what is pretrained at its own.

Stochastic depth: residual branches left out at random while a stage trains (Huang et al. 2016, arXiv 1603.09382).

Where the branches are, and how the chance grows with depth, is timm's knowledge: an architecture is built a second time
with stochastic depth, and its modules are moved over. They have no weights, and do nothing in evaluation. Their random
numbers come from torch's global generator, to which the loop lends the seed of the step.

The anchor of a stage: pulls towards the network that it started from, so that continuing forgets less.

``l2_sp``    (alpha / 2) ||w - w0||^2 over the pretrained weights that train (L2-SP; Li, Grandvalet and Davoine 2018,
             arXiv 1802.01483, equation 3); heads and a new classifier are free. Of adapters it is the sum that counts.
``distill``  the mean of 1 - cos(f(x), f0(x)) between pooled features of the first view, both networks in evaluation
             mode: the features that will be used, not those of the training mode. One forward pass of each more.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized
from torch.optim import Optimizer

from acclimate.errors import ModelError, RecipeError
from acclimate.models import Backbone, create
from acclimate.models.heads import heads_of
from acclimate.models.load.lean import import_timm
from acclimate.models.network import classifier_names, classifiers, evaluating, pooled
from acclimate.models.scope import blocks_of, is_norm
from acclimate.training.recipe import Stage

_Part = tuple[list[nn.Parameter], float]
TRUST = 0.001  # length of a step, relative to that of the weights, at a learning rate of 1


class Lars(Optimizer):
    """SGD with momentum whose every step is as long as a thousandth of the weights it moves.

    One step: v <- m v + s (g + d w), w <- w - lr v, with s = trust |w| / |g + d w| for weights of two axes or more.

    Source: You, Gitman and Ginsburg 2017, arXiv 1708.03888, algorithm 1, with momentum applied to the scaled step. As
    in MAE and BYOL, what has one axis (biases, scale and shift of norms) is not scaled; nor are weights or gradients of
    length 0: a new classifier that is all zeros could never leave zero.
    """

    def __init__(self, groups: list[dict[str, Any]], *, lr: float, momentum: float) -> None:
        super().__init__(groups, {"lr": lr, "momentum": momentum, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move every parameter that has a gradient."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._move(p, p.grad, group)

    def _move(self, p: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        change = gradient.add(p, alpha=group["weight_decay"])
        if p.ndim > 1:
            length, step = p.norm(), change.norm()
            change = change * torch.where((length > 0) & (step > 0), TRUST * length / step, 1.0)
        state = self.state[p]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(p)
        velocity = state["momentum"].mul_(group["momentum"]).add_(change)
        p.add_(velocity, alpha=-group["lr"])


def build_optimizer(network: nn.Module, extra: nn.ModuleDict, stage: Stage) -> torch.optim.Optimizer | None:
    """Return the optimizer of all that requires a gradient, in groups that carry their ``scale`` of the rate.

    Weight decay spares biases and normalisation layers, as He et al. 2019 (section 3.1) recommend. None where nothing
    requires a gradient.
    """
    spared = _without_decay(network) | _without_decay(extra)
    groups: list[dict[str, Any]] = []
    for parameters, scale in [*_new(network, extra), *_old(network, stage)]:
        trained = [p for p in parameters if p.requires_grad]
        for decay in dict.fromkeys((stage.weight_decay, 0.0)):  # one group where nothing decays: each takes time
            members = [p for p in trained if (0.0 if id(p) in spared else stage.weight_decay) == decay]
            if members:
                groups.append({"params": members, "scale": scale, "weight_decay": decay})
    if not groups:
        return None
    if stage.optimizer == "lars":
        return Lars(groups, lr=stage.lr, momentum=stage.momentum)
    fused = next(network.parameters()).device.type in ("cpu", "cuda")
    if stage.optimizer == "sgd":
        return torch.optim.SGD(
            groups, lr=stage.lr, momentum=stage.momentum, nesterov=stage.nesterov and stage.momentum > 0, fused=fused
        )
    return torch.optim.AdamW(groups, lr=stage.lr, fused=fused)


def _new(network: nn.Module, extra: nn.ModuleDict) -> list[_Part]:
    """Return the classifier and the objective's heads: at the full rate, or each classifier at its own."""
    several, head = heads_of(network), classifier_names(network)
    if several is not None:
        return [*several.groups(), (list(extra.parameters()), 1.0)]
    return [([p for name, p in network.named_parameters() if name in head] + list(extra.parameters()), 1.0)]


def _old(network: nn.Module, stage: Stage) -> list[_Part]:
    """Return what is pretrained, first block to last: each at ``layer_decay`` of the rate of the one above it.

    Raises RecipeError when the rate shall fall from block to block, and the network has no blocks that timm could
    count.
    """
    head = classifier_names(network)
    below = {name: p for name, p in network.named_parameters() if name not in head}
    if stage.layer_decay == 1:
        return [(list(below.values()), stage.backbone_lr)]
    if not hasattr(network, "group_matcher"):
        raise RecipeError(
            f"got layer_decay {stage.layer_decay}; {type(network).__name__} has no blocks that timm could count "
            "(group_matcher); leave layer_decay out"
        )
    block = blocks_of(network)
    order = sorted({block[name] for name in below}, reverse=True)
    return [
        ([p for name, p in below.items() if block[name] == place], stage.backbone_lr * stage.layer_decay**depth)
        for depth, place in enumerate(order, start=1)
    ][::-1]


def _without_decay(module: nn.Module) -> set[int]:
    biases = {id(p) for name, p in module.named_parameters() if name.rpartition(".")[2] == "bias"}
    return biases | {id(p) for part in module.modules() if is_norm(part) for p in part.parameters(recurse=False)}


def set_rate(optimizer: torch.optim.Optimizer | None, rate: float) -> None:
    """Set the learning rate of every group to ``rate`` times its own scale."""
    for group in optimizer.param_groups if optimizer else ():
        group["lr"] = rate * group["scale"]


if TYPE_CHECKING:
    from timm.layers.drop import DropPath
else:
    DropPath = import_timm().layers.DropPath

_BUILT = 0.5  # the chance that the second network is built with; only the shares of it count


class Branch(DropPath):
    """What leaves a branch out; ``share`` is its chance relative to that of the last branch."""

    def __init__(self, share: float) -> None:
        super().__init__(0.0)
        self.share = share


def give_depth(network: nn.Module, backbone: Backbone) -> None:
    """Make a network's branches ready to be left out; none is, until ``set_depth`` says so.

    Raises RecipeError when the architecture has no stochastic depth.
    """
    try:
        twin = create(backbone.architecture, {**backbone.arguments, "drop_path_rate": _BUILT})
    except ModelError:
        twin = nn.Identity()
    branches = {name: part for name, part in twin.named_modules() if isinstance(part, DropPath)}
    if not branches:
        raise RecipeError(
            f"got drop_path for '{backbone.architecture}', which has no stochastic depth in timm; leave drop_path out"
        )
    for name, part in branches.items():
        parent, _, attribute = name.rpartition(".")
        setattr(network.get_submodule(parent), attribute, Branch(float(part.drop_prob or 0.0) / _BUILT))


def set_depth(network: nn.Module, rate: float) -> None:
    """Set the chance that the last branch is left out, and those of the others with it."""
    for part in network.modules():
        if isinstance(part, Branch):
            part.drop_prob = rate * part.share


class Anchor:
    """The start network, frozen, and the distance to it.

    ``start`` belongs into the checkpoint: a later stage starts from weights that stand nowhere else.
    """

    def __init__(self, network: nn.Module, *, l2_sp: float, distill: float) -> None:
        self.network, self.l2_sp, self.distill = network, l2_sp, distill
        self.start = copy.deepcopy(network).requires_grad_(False).eval()
        head = {id(part) for top in classifiers(network) for part in top.modules()}
        both = zip(network.named_modules(), self.start.modules(), strict=True)
        self.pairs = [
            (m, m0) for (name, m), m0 in both if id(m) not in head and "parametrizations" not in name.split(".")
        ]

    def penalty(self, view: Tensor) -> Tensor:
        """Return what is added to a batch's loss; ``view`` is its first view ``(b, 3, h, w)``."""
        total = torch.zeros((), device=view.device)
        if self.l2_sp:
            distances = [d for module, start in self.pairs for d in _distances(module, start)]
            total = total + 0.5 * self.l2_sp * torch.stack(distances).sum() if distances else total
        if self.distill:
            total = total + self.distill * self._forgotten(view)
        return total

    def _forgotten(self, view: Tensor) -> Tensor:
        with evaluating(self.network):
            ours = pooled(self.network, view).float()
        with torch.no_grad():
            theirs = pooled(self.start, view).float()
        return (1 - F.cosine_similarity(ours, theirs)).mean()


def _distances(module: nn.Module, start: nn.Module) -> list[Tensor]:
    """Return the squared distance of each of a module's own weights that trains, adapters added to what they adapt."""
    names = [name for name, p in module.named_parameters(recurse=False) if p.requires_grad]
    if is_parametrized(module):
        lists = module.get_submodule("parametrizations")
        names += [name for name, part in lists.named_children() if any(p.requires_grad for p in part.parameters())]
    return [(getattr(module, name) - getattr(start, name).detach()).square().sum() for name in names]
