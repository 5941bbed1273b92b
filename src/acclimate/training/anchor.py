"""The anchor of a stage: pulls towards the network that it started from, so that continuing forgets less.

``l2_sp``    (alpha / 2) ||w - w0||^2 over the pretrained weights that train (L2-SP; Li, Grandvalet and Davoine 2018,
             arXiv 1802.01483, equation 3); heads and a new classifier are free. Of adapters it is the sum that counts.
``distill``  the mean of 1 - cos(f(x), f0(x)) between pooled features of the first view, both networks in evaluation
             mode: the features that will be used, not those of the training mode. One forward pass of each more.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from acclimate.models.network import classifiers, evaluating, pooled


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
