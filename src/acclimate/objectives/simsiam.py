"""SimSiam: simple Siamese networks (Chen and He 2020, arXiv 2011.10566, equations 1-4).

A predictor maps what the network makes of one view to what the same network makes of the other, which is held fixed:
L = -<p, sg(z')> of unit vectors, both ways round. Heads and cosine loss come from lightly (MIT).
What prevents collapse: the stop-gradient together with the predictor; without either all outputs become one constant.
"""

from __future__ import annotations

from collections.abc import Sequence

from lightly.loss import NegativeCosineSimilarity
from lightly.models.modules.heads import SimSiamPredictionHead, SimSiamProjectionHead
from pydantic import Field
from torch import Tensor, nn

from acclimate.models.network import pooled
from acclimate.objectives.base import Objective, ObjectiveSettings, Paper
from acclimate.objectives.parts import HeadNorm, in_float32, normed
from acclimate.views import AUGMENTS, Augment


class SimSiamSettings(ObjectiveSettings):
    """Settings of SimSiam.

    Attributes
    ----------
    hidden, out
        Widths of the projector.
    predictor_hidden
        Width inside the predictor: a bottleneck, a quarter of ``out`` as in the paper.
    head_norm
        ``batch`` as in the paper, or ``layer`` for batches too small for batch statistics.
    """

    hidden: int = Field(default=512, ge=1)
    out: int = Field(default=512, ge=1)
    predictor_hidden: int = Field(default=128, ge=1)
    head_norm: HeadNorm = "batch"


class SimSiam(Objective):
    """The network with projector and predictor.

    In the paper the predictor's rate stays at its peak while the others fall; here it follows the stage's schedule.
    """

    settings: SimSiamSettings
    paper = Paper(
        source="Chen and He 2020, arXiv 2011.10566, section 3 (ResNet-50, ImageNet, 100 epochs)",
        optimizer="sgd",
        lr=0.1,
        batch=512,
        weight_decay=1e-4,
        options={"hidden": 2048, "out": 2048, "predictor_hidden": 512},
    )
    views: Sequence[Augment] = (AUGMENTS["moco"], AUGMENTS["moco"])  # appendix A; those of MoCo v2 by the authors' code

    def setup(self, network: nn.Module, *, features: int, class_counts: Sequence[int]) -> nn.ModuleDict:
        """Build projector and predictor."""
        settings, self.network = self.settings, network
        self.criterion = NegativeCosineSimilarity()
        self.projector = normed(SimSiamProjectionHead(features, settings.hidden, settings.out), settings.head_norm)
        predictor = SimSiamPredictionHead(settings.out, settings.predictor_hidden, settings.out)
        self.predictor = normed(predictor, settings.head_norm)
        return nn.ModuleDict({"projector": self.projector, "predictor": self.predictor})

    def loss(self, views: Sequence[Tensor], labels: Tensor | None) -> Tensor:
        """Return the symmetric loss in [-1, 1] of two views; -1 is a perfect prediction."""
        first, second = (self.projector(pooled(self.network, view)) for view in views)
        ours = in_float32(self.criterion, self.predictor(first), second.detach())
        theirs = in_float32(self.criterion, self.predictor(second), first.detach())
        return 0.5 * (ours + theirs)
