"""SwAV: swapping assignments between views (Caron et al. 2020, arXiv 2006.09882, equations 1-5).

Features z of one view, on the unit sphere, predict to which prototypes c the other view was assigned:
L = -sum_k q_k log p_k with p = softmax(z c / T), where the codes q share the prototypes out evenly over a batch
(Sinkhorn-Knopp). Codes come from the two full views; every view predicts them. Heads and loss come from lightly (MIT).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from lightly.loss import SwaVLoss
from lightly.models.modules.heads import SwaVProjectionHead, SwaVPrototypes
from pydantic import Field
from torch import Tensor, nn

from acclimate.objectives.base import Objective, ObjectiveSettings, Paper
from acclimate.objectives.parts import FULL, HeadNorm, Number, crop_features, crop_views, in_float32, normed
from acclimate.views import AUGMENTS, Augment


class SwAVSettings(ObjectiveSettings):
    """Settings of SwAV.

    Attributes
    ----------
    hidden, out
        Widths of the projector.
    head_norm
        ``batch`` as in the paper, or ``layer`` for batches too small for batch statistics.
    prototypes
        Their number; a few times the number of classes that the images may have.
    small_crops
        Small views beside the two full ones.
    split
        Share of the image's area that divides full views from small ones, in (0.05, 1].
    temperature
        T of the prediction.
    epsilon, iterations
        Of Sinkhorn-Knopp: smoothness of the codes, at least 0.02 (exp(1 / epsilon) has to be a float32), and rounds.
        The paper's 0.05 is too smooth for short runs: from a random start with layer norms every image came to have
        the same even code, and a pretrained ResNet gained less.
    queue
        Features of this many earlier images that help to share the prototypes out, for batches smaller than a few
        times the prototypes; 0: none. It is used once it is full.
    freeze
        Share of the stage's steps in which the prototypes keep their random start, in [0, 1].
    """

    hidden: int = Field(default=512, ge=1)
    out: int = Field(default=128, ge=1)
    head_norm: HeadNorm = "batch"
    prototypes: int = Field(default=256, ge=2)
    small_crops: int = Field(default=4, ge=0)
    split: float = Field(default=0.14, gt=0.05, le=1)
    temperature: float = Field(default=0.1, gt=0)
    epsilon: float = Field(default=0.02, ge=0.02)
    iterations: int = Field(default=3, ge=1)
    queue: int = Field(default=0, ge=0)
    freeze: float = Field(default=0.01, ge=0, le=1)


class _Queue(nn.Module):
    """Unit features ``(2, length, d)`` of earlier images, newest first, for each of the two full views."""

    features: Tensor

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.register_buffer("features", torch.zeros(FULL, length, width))
        self.filled = Number()

    @property
    def full(self) -> bool:
        length = self.features.shape[1]
        return 0 < length <= self.filled.value

    def push(self, new: Tensor) -> None:
        """Put features ``(2, b, d)`` in front; the oldest fall out."""
        length = self.features.shape[1]
        self.features.copy_(torch.cat([new, self.features], dim=1)[:, :length])
        self.filled.value = min(length, self.filled.value + new.shape[1])


class SwAV(Objective):
    """The network with projector and prototypes, and a queue of features."""

    settings: SwAVSettings
    views: Sequence[Augment] = ()  # until ``setup``
    paper = Paper(
        source="Caron et al. 2020, arXiv 2006.09882, appendix A (ResNet-50, ImageNet, 800 epochs)",
        optimizer="lars",
        lr=4.8,
        batch=4096,
        weight_decay=1e-6,
        options={"hidden": 2048, "out": 128, "prototypes": 3000, "small_crops": 6, "epsilon": 0.05, "freeze": 1 / 800},
    )

    def setup(self, network: nn.Module, *, features: int, class_counts: Sequence[int]) -> nn.ModuleDict:
        """Build projector, prototypes on the unit sphere and an empty queue; see whether small views can be small."""
        s, self.network = self.settings, network
        self.criterion = SwaVLoss(s.temperature, s.iterations, s.epsilon)
        view = AUGMENTS["simclr"]
        self.views = crop_views(network, [view] * FULL, view, count=s.small_crops, split=s.split)
        self.projector = normed(SwaVProjectionHead(features, s.hidden, s.out), s.head_norm)
        self.prototypes = SwaVPrototypes(s.out, s.prototypes)
        self.prototypes.heads[0].bias = None  # the paper's are directions only
        self.prototypes.normalize()
        self.queue, self.progress = _Queue(s.queue, s.out), Number()
        self._seen: list[Tensor] = []  # full views of this step, for the queue
        return nn.ModuleDict(
            {"projector": self.projector, "prototypes": self.prototypes, "queue": self.queue, "progress": self.progress}
        )

    def loss(self, views: Sequence[Tensor], labels: Tensor | None) -> Tensor:
        """Return the mean cross-entropy in nats, >= 0, over all pairs of a full view's code and another view."""
        z = F.normalize(self.projector(crop_features(self.network, views)).float(), dim=1)
        earlier = None
        if self.queue.full:
            with torch.no_grad():
                earlier = [in_float32(self._scores, features) for features in self.queue.features]
        if self.settings.queue:
            self._seen.append(z[: FULL * len(views[0])].detach())
        scores = in_float32(self._scores, z).chunk(len(views))
        loss: Tensor = self.criterion(list(scores[:FULL]), list(scores[FULL:]), earlier)
        return loss.squeeze(0)

    def after_step(self, progress: float) -> None:
        """Put the prototypes back on the sphere; fill the queue, once a step however many batches it had."""
        self.progress.value = progress
        self.prototypes.normalize()
        for z in self._seen:
            self.queue.push(z.view(FULL, -1, z.shape[1]))
        self._seen = []

    def _scores(self, z: Tensor) -> Tensor:
        """Return cosines ``(n, prototypes)``; frozen prototypes get no gradient, so that no optimizer moves them."""
        weight = self.prototypes.heads[0].weight
        return F.linear(z, weight.detach() if self.progress.value < self.settings.freeze else weight)
