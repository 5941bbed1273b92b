"""BYOL: bootstrap your own latent (Grill et al. 2020, arXiv 2006.07733, equations 1-2).

An online network predicts, from one view, what a slowly moving target network makes of the other:
L = -<q(z), sg(z')> of unit vectors, both ways round. Heads and cosine loss come from lightly (MIT).

What the target's batch norms hold is a choice that the paper leaves open, and implementations differ:

- ``forward``  the target runs in train mode and gathers its own running statistics (lightly, solo-learn);
- ``ema``      its float buffers follow the online network's at the momentum of the weights.

In both, the target's forward pass normalises with the batch's own statistics wherever the online network does: a
frozen batch norm is frozen in both.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import ClassVar

import torch
from lightly.loss import NegativeCosineSimilarity
from lightly.models.modules.heads import BYOLPredictionHead, BYOLProjectionHead, ProjectionHead
from pydantic import Field
from torch import Tensor, nn

from acclimate.network import pooled
from acclimate.objectives.base import Settings
from acclimate.schedule import ema_momentum
from acclimate.views import AUGMENTS, Augment, scaled


class BYOLSettings(Settings):
    """Settings of BYOL.

    Attributes
    ----------
    hidden, out
        Widths of the heads; the paper has 4096 and 256 for a ResNet-50 on ImageNet.
    head_norm
        ``batch`` as in the paper, or ``layer`` for batches too small for batch statistics.
    ema
        The target's momentum at the start, in [0, 1]; it rises to 1 by a half cosine.
    target_buffers
        ``forward`` or ``ema``; see the module's text.
    strength
        Scales the augmentations: 0 none, 1 the paper's.
    """

    hidden: int = Field(default=512, ge=1)
    out: int = Field(default=128, ge=1)
    head_norm: str = Field(default="batch", pattern="^(batch|layer)$")
    ema: float = Field(default=0.99, ge=0, le=1)
    target_buffers: str = Field(default="forward", pattern="^(forward|ema)$")
    strength: float = Field(default=1.0, ge=0, le=1)


def _head(kind: type[ProjectionHead], width: int, settings: BYOLSettings) -> ProjectionHead:
    """Return lightly's head, or the same shape with layer norm in the place of batch norm."""
    if settings.head_norm == "batch":
        return kind(width, settings.hidden, settings.out)
    blocks = [
        (width, settings.hidden, nn.LayerNorm(settings.hidden), nn.ReLU()),
        (settings.hidden, settings.out, None, None),
    ]
    return ProjectionHead(blocks)


class BYOL:
    """The online network with projector and predictor, and its target."""

    needs_labels: ClassVar[bool] = False

    def __init__(self, settings: BYOLSettings) -> None:
        self.settings = settings
        self.criterion = NegativeCosineSimilarity()

    @property
    def views(self) -> Sequence[Augment]:
        """The paper's two asymmetric views (table 6)."""
        return [scaled(AUGMENTS[name], self.settings.strength) for name in ("byol-1", "byol-2")]

    def setup(self, network: nn.Module, *, features: int, class_counts: Sequence[int]) -> nn.ModuleDict:
        """Build projector, predictor and a frozen copy of network and projector."""
        self.network = network
        self.projector = _head(BYOLProjectionHead, features, self.settings)
        self.predictor = _head(BYOLPredictionHead, self.settings.out, self.settings)
        self.target = copy.deepcopy(network).requires_grad_(False)
        self.target_projector = copy.deepcopy(self.projector).requires_grad_(False)
        return nn.ModuleDict(
            {
                "projector": self.projector,
                "predictor": self.predictor,
                "target": self.target,
                "target_projector": self.target_projector,
            }
        )

    def loss(self, views: Sequence[Tensor], labels: Tensor | None) -> Tensor:
        """Return the symmetric loss in [-1, 1] of two views; -1 is a perfect prediction.

        Each view goes through on its own, so that batch statistics never mix the two.
        """
        first, second = views
        with torch.no_grad():
            self._follow_modes()
            goal_first = self.target_projector(pooled(self.target, first))
            goal_second = self.target_projector(pooled(self.target, second))
        guess_first = self.predictor(self.projector(pooled(self.network, first)))
        guess_second = self.predictor(self.projector(pooled(self.network, second)))
        ours = self.criterion(guess_first.float(), goal_second.float())
        theirs = self.criterion(guess_second.float(), goal_first.float())
        loss: Tensor = 0.5 * (ours + theirs)
        return loss

    def _follow_modes(self) -> None:
        for online, target in zip(self.network.modules(), self.target.modules(), strict=True):
            target.training = online.training

    @torch.no_grad()
    def after_step(self, progress: float) -> None:
        """Move the target towards the online network (equation 1): t <- m t + (1 - m) o."""
        momentum = ema_momentum(progress, start=self.settings.ema)
        for online, target in ((self.network, self.target), (self.projector, self.target_projector)):
            pairs = [(o, t) for o, t in zip(online.parameters(), target.parameters(), strict=True) if o.requires_grad]
            if self.settings.target_buffers == "ema":
                buffers = zip(online.buffers(), target.buffers(), strict=True)
                pairs += [(o, t) for o, t in buffers if o.is_floating_point()]
            torch._foreach_lerp_([t for _, t in pairs], [o.detach() for o, _ in pairs], 1 - momentum)
