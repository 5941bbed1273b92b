"""BYOL: bootstrap your own latent (Grill et al. 2020, arXiv 2006.07733, equations 1-2).

An online network predicts, from one view, what a slowly moving target network makes of the other:
L = -<q(z), sg(z')> of unit vectors, both ways round. Heads and cosine loss come from lightly (MIT).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from lightly.loss import NegativeCosineSimilarity
from lightly.models.modules.heads import BYOLPredictionHead, BYOLProjectionHead
from pydantic import Field
from torch import Tensor, nn

from acclimate.models.network import pooled
from acclimate.objectives.base import Objective, ObjectiveSettings, Paper
from acclimate.objectives.heads import HeadNorm, normed
from acclimate.objectives.momentum import Momentum
from acclimate.views import AUGMENTS, Augment


class BYOLSettings(ObjectiveSettings):
    """Settings of BYOL.

    Attributes
    ----------
    hidden, out
        Widths of the heads.
    head_norm
        ``batch`` as in the paper, or ``layer`` for batches too small for batch statistics.
    ema
        The target's momentum at the start, in [0, 1]; it rises to 1 by a half cosine.
    target_buffers
        ``forward`` or ``ema``; see ``objectives.momentum``.
    """

    hidden: int = Field(default=512, ge=1)
    out: int = Field(default=128, ge=1)
    head_norm: HeadNorm = "batch"
    ema: float = Field(default=0.99, ge=0, le=1)
    target_buffers: str = Field(default="forward", pattern="^(forward|ema)$")


class BYOL(Objective):
    """The online network with projector and predictor, and its target."""

    paper = Paper(
        source="Grill et al. 2020, arXiv 2006.07733, section 3.3 (ResNet-50, ImageNet, 1000 epochs)",
        optimizer="lars",
        lr=3.2,
        batch=4096,
        weight_decay=1.5e-6,
        options={"hidden": 4096, "out": 256, "ema": 0.996},
    )
    views: Sequence[Augment] = (AUGMENTS["byol-1"], AUGMENTS["byol-2"])  # table 6: they differ in blur and solarisation

    def __init__(self, settings: BYOLSettings) -> None:
        self.settings = settings
        self.criterion = NegativeCosineSimilarity()

    def setup(self, network: nn.Module, *, features: int, class_counts: Sequence[int]) -> nn.ModuleDict:
        """Build projector, predictor and a frozen copy of network and projector."""
        self.network = network
        hidden, out, norm = self.settings.hidden, self.settings.out, self.settings.head_norm
        self.projector = normed(BYOLProjectionHead(features, hidden, out), norm)
        self.predictor = normed(BYOLPredictionHead(out, hidden, out), norm)
        online = [network, self.projector]
        self.momentum = Momentum(online, start=self.settings.ema, buffers=self.settings.target_buffers)
        self.target, self.target_projector = self.momentum.copies
        return nn.ModuleDict(
            {"projector": self.projector, "predictor": self.predictor, "targets": self.momentum.copies}
        )

    def loss(self, views: Sequence[Tensor], labels: Tensor | None) -> Tensor:
        """Return the symmetric loss in [-1, 1] of two views; -1 is a perfect prediction.

        Each view goes through on its own, so that batch statistics never mix the two.
        """
        first, second = views
        with torch.no_grad():
            self.momentum.follow_modes()
            goal_first = self.target_projector(pooled(self.target, first))
            goal_second = self.target_projector(pooled(self.target, second))
        guess_first = self.predictor(self.projector(pooled(self.network, first)))
        guess_second = self.predictor(self.projector(pooled(self.network, second)))
        ours = self.criterion(guess_first.float(), goal_second.float())
        theirs = self.criterion(guess_second.float(), goal_first.float())
        loss: Tensor = 0.5 * (ours + theirs)
        return loss

    def after_step(self, progress: float) -> None:
        """Move the target towards the online network."""
        self.momentum.update(progress)
