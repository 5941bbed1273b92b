"""Barlow Twins: redundancy reduction (Zbontar et al. 2021, arXiv 2103.03230, equations 1-2).

The correlations, over the batch, between the outputs of two views should be the identity matrix: each output agrees
with itself in the other view and with no other output. L = sum_i (1 - C_ii)^2 + lambda sum_{i != j} C_ij^2. Head and
loss come from lightly (MIT).
What prevents collapse: every output is standardised over the batch, so a constant has no correlation and costs its full
1; copies of one output cost the second term.
"""

from __future__ import annotations

from collections.abc import Sequence

from lightly.loss import BarlowTwinsLoss
from lightly.models.modules.heads import BarlowTwinsProjectionHead
from pydantic import Field

from acclimate.objectives.base import ObjectiveSettings, Paper
from acclimate.objectives.parts import HeadNorm, Projected
from acclimate.views import AUGMENTS, Augment


class BarlowSettings(ObjectiveSettings):
    """Settings of Barlow Twins.

    Attributes
    ----------
    hidden, out
        Widths of the projector; the paper gains from a wide ``out``.
    redundancy
        The paper's lambda, >= 0.
    head_norm
        ``batch`` as in the paper, or ``layer``. The loss itself is a statistic of the batch all the same: with two
        images every correlation is 1 or -1 and there is next to no gradient; 16 images are few.
    """

    hidden: int = Field(default=512, ge=1)
    out: int = Field(default=512, ge=2)
    redundancy: float = Field(default=5e-3, ge=0)
    head_norm: HeadNorm = "batch"


class Barlow(Projected):
    """The network with a projector; its loss is >= 0, and a constant network costs ``out``."""

    # biases and norms have a rate of their own in the paper, 0.0048 x batch / 256; here they follow the weights'
    paper = Paper(
        source="Zbontar et al. 2021, arXiv 2103.03230, section 2.2 (ResNet-50, ImageNet, 1000 epochs)",
        optimizer="lars",
        lr=1.6,
        batch=2048,
        weight_decay=1.5e-6,
        options={"hidden": 8192, "out": 8192, "redundancy": 5e-3},
    )
    views: Sequence[Augment] = (AUGMENTS["byol-1"], AUGMENTS["byol-2"])  # section 2.2: those of BYOL
    head = BarlowTwinsProjectionHead

    def __init__(self, settings: BarlowSettings) -> None:
        super().__init__(settings, BarlowTwinsLoss(lambda_param=settings.redundancy))
