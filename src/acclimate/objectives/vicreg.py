"""VICReg: variance, invariance and covariance (Bardes, Ponce and LeCun 2021, arXiv 2105.04906, equations 1-6).

L = lambda s + mu v + nu c: the outputs of two views are close (s, mean square), each output has a standard deviation of
at least 1 over the batch (v, hinge), no two outputs are correlated (c, squares off the diagonal). Head and loss come
from lightly (MIT), which, like the authors' code, takes the mean of s over the outputs where equation 5 has the sum,
and the mean of v over the two views where equation 6 has the sum.
What prevents collapse: the variance term; the covariance term keeps outputs from being copies of each other.
"""

from __future__ import annotations

from collections.abc import Sequence

from lightly.loss import VICRegLoss
from lightly.models.modules.heads import VICRegProjectionHead
from pydantic import Field

from acclimate.objectives.base import ObjectiveSettings, Paper
from acclimate.objectives.parts import HeadNorm, Projected
from acclimate.views import AUGMENTS, Augment


class VICRegSettings(ObjectiveSettings):
    """Settings of VICReg.

    Attributes
    ----------
    hidden, out
        Widths of the projector (the paper's expander).
    invariance, variance, covariance
        The paper's lambda, mu and nu, >= 0.
    head_norm
        ``batch`` as in the paper, or ``layer``. The loss itself takes variances over the batch all the same: 16 images
        are few.
    """

    hidden: int = Field(default=512, ge=1)
    out: int = Field(default=512, ge=2)
    invariance: float = Field(default=25.0, ge=0)
    variance: float = Field(default=25.0, ge=0)
    covariance: float = Field(default=1.0, ge=0)
    head_norm: HeadNorm = "batch"


class VICReg(Projected):
    """The network with a projector; its loss is >= 0, and a constant network costs 0.99 ``variance``."""

    paper = Paper(
        source="Bardes et al. 2021, arXiv 2105.04906, section 4.2 (ResNet-50, ImageNet, 1000 epochs)",
        optimizer="lars",
        lr=1.6,
        batch=2048,
        weight_decay=1e-6,
        options={"hidden": 8192, "out": 8192, "invariance": 25.0, "variance": 25.0, "covariance": 1.0},
    )
    views: Sequence[Augment] = (AUGMENTS["byol-1"], AUGMENTS["byol-2"])  # as in the authors' code
    head = VICRegProjectionHead

    def __init__(self, settings: VICRegSettings) -> None:
        invariance, variance, covariance = settings.invariance, settings.variance, settings.covariance
        super().__init__(settings, VICRegLoss(lambda_param=invariance, mu_param=variance, nu_param=covariance))
