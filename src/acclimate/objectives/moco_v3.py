"""MoCo v3: momentum contrast without a queue (Chen, Xie and He 2021, arXiv 2104.02057, algorithm 1).

A predicted query from each view must be recognised by its key from the other view among the keys of the batch, which a
slowly moving encoder made: 2 t CE(<q, k'> / t), both ways round, with temperature t. The 2 t keeps the size of the
gradient the same for every temperature. lightly has the heads (MIT), but not this loss.
What prevents collapse: the other images of the batch, as negatives; the predictor and the moving keys help.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from lightly.models.modules.heads import ProjectionHead, SimSiamProjectionHead
from pydantic import Field
from timm.layers.patch_embed import PatchEmbed
from torch import Tensor, nn

from acclimate.objectives.base import ObjectiveSettings, Paper
from acclimate.objectives.parts import Followed, HeadNorm, in_float32, normed
from acclimate.views import AUGMENTS, Augment


class MoCoV3Settings(ObjectiveSettings):
    """Settings of MoCo v3.

    Attributes
    ----------
    hidden, out
        Widths of the heads.
    temperature
        Divides the similarities, > 0.
    head_norm
        ``batch`` as in the paper, or ``layer`` for batches too small for batch statistics.
    ema
        The key encoder's momentum at the start, in [0, 1]; it rises to 1 by a half cosine.
    target_buffers
        ``forward`` or ``ema``; see ``objectives.parts``.
    freeze_patch_embed
        Whether a vision transformer's patch embedding stays as it is, which made training stable in the paper (section
        4.2). It concerns networks with timm's ``PatchEmbed`` (ViT, DeiT, Swin) and no others.
    """

    hidden: int = Field(default=512, ge=1)
    out: int = Field(default=128, ge=1)
    temperature: float = Field(default=0.2, gt=1e-3)
    head_norm: HeadNorm = "batch"
    ema: float = Field(default=0.99, ge=0, le=1)
    target_buffers: str = Field(default="forward", pattern="^(forward|ema)$")
    freeze_patch_embed: bool = True


class MoCoV3(Followed):
    """The network with projector and predictor, and the key encoder that follows all but the predictor."""

    settings: MoCoV3Settings
    paper = Paper(
        source="Chen et al. 2021, arXiv 2104.02057, section 5 and the authors' code (ViT-B/16, 300 epochs)",
        optimizer="adamw",
        lr=2.4e-3,
        batch=4096,
        weight_decay=0.1,
        options={"hidden": 4096, "out": 256, "temperature": 0.2, "ema": 0.99},
    )
    views: Sequence[Augment] = (AUGMENTS["byol-1"], AUGMENTS["byol-2"])  # appendix A; BYOL's by the authors' code

    def setup(self, network: nn.Module, *, features: int, class_counts: Sequence[int]) -> nn.ModuleDict:
        """Build projector, predictor and a frozen copy of network and projector; freeze the patch embedding."""
        settings = self.settings
        patch_embed = getattr(network, "patch_embed", None)
        if settings.freeze_patch_embed and isinstance(patch_embed, PatchEmbed):
            patch_embed.requires_grad_(False)
        # the shape is SimSiam's: three layers, batch norm after each, the last one without scale and shift
        projector = normed(SimSiamProjectionHead(features, settings.hidden, settings.out), settings.head_norm)
        self.predictor = normed(_predictor(settings.hidden, settings.out), settings.head_norm)
        return self.follow(network, {"projector": projector, "predictor": self.predictor})

    def loss(self, views: Sequence[Tensor], labels: Tensor | None) -> Tensor:
        """Return the symmetric loss, >= 0, of two views of a batch of b >= 2 images; 4 t log b is the chance level."""
        pairs = zip(reversed(self.goals(views)), self.guesses(views), strict=True)
        ours, theirs = (in_float32(self._contrast, query, key) for key, query in pairs)
        return ours + theirs

    def _contrast(self, query: Tensor, key: Tensor) -> Tensor:
        """Return 2 t times the cross-entropy of each query's own key among all keys of the batch."""
        temperature = self.settings.temperature
        logits = F.normalize(query, dim=1) @ F.normalize(key, dim=1).T / temperature  # (b, b)
        return 2 * temperature * F.cross_entropy(logits, torch.arange(len(logits), device=logits.device))


def _predictor(hidden: int, out: int) -> nn.Module:
    """Return the two-layer predictor, batch norm after each, the last one without scale and shift."""
    blocks = [(out, hidden, nn.BatchNorm1d(hidden), nn.ReLU()), (hidden, out, nn.BatchNorm1d(out, affine=False), None)]
    predictor: nn.Module = ProjectionHead(blocks)
    return predictor
