"""SimCLR: a simple framework for contrastive learning (Chen et al. 2020, arXiv 2002.05709, equation 1).

Each view must be recognised by its other view among all views of the batch: softmax cross-entropy over cosine
similarities / temperature (NT-Xent). Head and loss come from lightly (MIT).
What prevents collapse: the other images of the batch, as negatives; equal outputs for all give log(2b - 1), the chance
level, so the batch decides how hard the task is.
"""

from __future__ import annotations

from collections.abc import Sequence

from lightly.loss import NTXentLoss
from lightly.models.modules.heads import SimCLRProjectionHead
from pydantic import Field

from acclimate.objectives.base import ObjectiveSettings, Paper
from acclimate.objectives.parts import HeadNorm, Projected
from acclimate.views import AUGMENTS, Augment


class SimCLRSettings(ObjectiveSettings):
    """Settings of SimCLR.

    Attributes
    ----------
    hidden, out
        Widths of the projector.
    temperature
        Divides the similarities, > 0. The paper's best is 0.1 on ImageNet (table 5) and 0.5 on CIFAR-10 (appendix
        B.9); 0.2 lies between, for small data.
    head_norm
        ``batch`` as in the paper, or ``layer`` for batches too small for batch statistics.
    """

    hidden: int = Field(default=512, ge=1)
    out: int = Field(default=128, ge=1)
    temperature: float = Field(default=0.2, gt=1e-3)
    head_norm: HeadNorm = "batch"


class SimCLR(Projected):
    """The network with a projector; its loss is the mean cross-entropy, >= 0, of the 2b views of a batch."""

    paper = Paper(
        source="Chen et al. 2020, arXiv 2002.05709, section 2.3 (ResNet-50, ImageNet, 100 epochs)",
        optimizer="lars",
        lr=4.8,
        batch=4096,
        weight_decay=1e-6,
        options={"hidden": 2048, "out": 128, "temperature": 0.1},
    )
    views: Sequence[Augment] = (AUGMENTS["simclr"], AUGMENTS["simclr"])  # appendix A
    head = SimCLRProjectionHead

    def __init__(self, settings: SimCLRSettings) -> None:
        super().__init__(settings, NTXentLoss(temperature=settings.temperature))
