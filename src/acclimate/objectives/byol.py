"""BYOL: bootstrap your own latent (Grill et al. 2020, arXiv 2006.07733, equations 1-2).

An online network predicts, from one view, what a slowly moving target network makes of the other:
L = -<q(z), sg(z')> of unit vectors, both ways round. Heads and cosine loss come from lightly (MIT).
"""

from __future__ import annotations

from collections.abc import Sequence

from lightly.loss import NegativeCosineSimilarity
from lightly.models.modules.heads import BYOLPredictionHead, BYOLProjectionHead
from pydantic import Field
from torch import Tensor, nn

from acclimate.objectives.base import ObjectiveSettings, Paper
from acclimate.objectives.parts import Followed, HeadNorm, normed
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
        ``forward`` or ``ema``; see ``objectives.parts``.
    """

    hidden: int = Field(default=512, ge=1)
    out: int = Field(default=128, ge=1)
    head_norm: HeadNorm = "batch"
    ema: float = Field(default=0.99, ge=0, le=1)
    target_buffers: str = Field(default="forward", pattern="^(forward|ema)$")


class BYOL(Followed):
    """The online network with projector and predictor, and its target."""

    settings: BYOLSettings
    paper = Paper(
        source="Grill et al. 2020, arXiv 2006.07733, section 3.3 (ResNet-50, ImageNet, 1000 epochs)",
        optimizer="lars",
        lr=3.2,
        batch=4096,
        weight_decay=1.5e-6,
        options={"hidden": 4096, "out": 256, "ema": 0.996},
    )
    views: Sequence[Augment] = (AUGMENTS["byol-1"], AUGMENTS["byol-2"])  # table 6: they differ in blur and solarisation

    def setup(self, network: nn.Module, *, features: int, class_counts: Sequence[int]) -> nn.ModuleDict:
        """Build projector, predictor and a frozen copy of network and projector."""
        s = self.settings
        self.criterion = NegativeCosineSimilarity()
        projector = normed(BYOLProjectionHead(features, s.hidden, s.out), s.head_norm)
        self.predictor = normed(BYOLPredictionHead(s.out, s.hidden, s.out), s.head_norm)
        return self.follow(network, {"projector": projector, "predictor": self.predictor})

    def loss(self, views: Sequence[Tensor], labels: Tensor | None) -> Tensor:
        """Return the symmetric loss in [-1, 1] of two views; -1 is a perfect prediction."""
        pairs = zip(reversed(self.goals(views)), self.guesses(views), strict=True)
        ours, theirs = (self.criterion(guess.float(), goal.float()) for goal, guess in pairs)
        loss: Tensor = 0.5 * (ours + theirs)
        return loss
