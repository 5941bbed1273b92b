"""MoCo v2: momentum contrast with a queue (He et al. 2019, arXiv 1911.05722, equation 1; Chen et al. 2020, 2003.04297).

A query from one view must be recognised by its key from the other view among the keys of earlier batches, which a
slowly moving encoder made. One view is always the query and one the key, as in the paper. The head comes from lightly
(MIT), the queue does not: lightly's is in no state dict and drops keys that do not fit before its end.
What prevents collapse: the queue's keys, as negatives, whatever the batch.

Shuffling batch norm, the paper's guard against keys that are known by the statistics of their batch, needs several
devices with a share of the batch each. In one process the statistics do not depend on the order, so it is left out:
a network with batch norm can still tell its key by them; one with frozen batch norm (`bn_stats = "frozen"`), group
norm or layer norm cannot. The head has no norm.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from lightly.models.modules.heads import MoCoProjectionHead
from pydantic import Field
from torch import Tensor, nn

from acclimate.models.network import pooled
from acclimate.objectives.base import ObjectiveSettings, Paper
from acclimate.objectives.parts import Followed, in_float32
from acclimate.views import AUGMENTS, Augment


class MoCoV2Settings(ObjectiveSettings):
    """Settings of MoCo v2.

    Attributes
    ----------
    hidden, out
        Widths of the projector.
    temperature
        Divides the similarities, > 0.
    queue
        Number of earlier keys. With fewer images than this the queue holds other views of the query's own image, as
        negatives: at most half the number of images is a good length.
    ema, ema_schedule
        The key encoder's momentum, in [0, 1]: ``constant`` as in the paper (0.999 there, for 200 epochs of ImageNet;
        a short run needs less), or ``cosine``, from ``ema`` up to 1.
    target_buffers
        ``forward`` as in the paper, or ``ema``; see ``objectives.parts``.
    """

    hidden: int = Field(default=512, ge=1)
    out: int = Field(default=128, ge=1)
    temperature: float = Field(default=0.2, gt=1e-3)
    queue: int = Field(default=4096, ge=1)
    ema: float = Field(default=0.99, ge=0, le=1)
    ema_schedule: str = Field(default="constant", pattern="^(constant|cosine)$")
    target_buffers: str = Field(default="forward", pattern="^(forward|ema)$")


class Queue(nn.Module):
    """The last ``length`` keys, first in first out; it starts with random unit vectors."""

    keys: Tensor  # buffer ``(length, width)`` of unit vectors
    pointer: Tensor  # Buffer, a whole number: the row of the oldest key, which the next one replaces

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.register_buffer("keys", F.normalize(torch.randn(length, width), dim=1))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def push(self, keys: Tensor) -> None:
        """Put ``(b, width)`` unit vectors in the place of the b oldest; b may be any number, the last ones stay."""
        length = len(self.keys)
        rows = (self.pointer + torch.arange(len(keys), device=keys.device)) % length
        # of a batch longer than the queue every row would be written twice, in no certain order
        self.keys[rows[-length:]] = keys[-length:].to(self.keys.dtype)
        self.pointer.add_(len(keys)).remainder_(length)


class MoCoV2(Followed):
    """The network with a projector, the key encoder that follows both, and the queue."""

    settings: MoCoV2Settings
    paper = Paper(
        source="Chen et al. 2020, arXiv 2003.04297, and He et al. 2019, 1911.05722 (ResNet-50, ImageNet, 200 epochs)",
        optimizer="sgd",
        lr=0.03,
        batch=256,
        weight_decay=1e-4,
        options={"hidden": 2048, "out": 128, "temperature": 0.2, "queue": 65536, "ema": 0.999},
    )
    views: Sequence[Augment] = (AUGMENTS["moco"], AUGMENTS["moco"])  # query, key

    def setup(self, network: nn.Module, *, features: int, class_counts: Sequence[int]) -> nn.ModuleDict:
        """Build the projector, a frozen copy of network and projector, and a queue of random keys."""
        settings = self.settings
        projector = MoCoProjectionHead(features, settings.hidden, settings.out)
        kept = self.follow(network, {"projector": projector}, schedule=settings.ema_schedule)
        self.queue = kept["queue"] = Queue(settings.queue, settings.out)
        return kept

    def loss(self, views: Sequence[Tensor], labels: Tensor | None) -> Tensor:
        """Return the mean cross-entropy, >= 0, of a query view and a key view; the keys then enter the queue.

        They enter with every batch, also where several batches are accumulated for one optimizer step.
        """
        query_view, key_view = views
        key = F.normalize(self.goals([key_view])[0].float(), dim=1)
        query = self.projector(pooled(self.network, query_view))
        loss = in_float32(self._contrast, query, key)
        self.queue.push(key)
        return loss

    def _contrast(self, query: Tensor, key: Tensor) -> Tensor:
        """Return the cross-entropy of each query's own key, column 0, against the queue."""
        query = F.normalize(query, dim=1)
        positive = (query * key).sum(1, keepdim=True)  # (b, 1)
        # the gradient needs these keys, and the push writes over them
        earlier = query @ self.queue.keys.clone().T  # (b, queue)
        logits = torch.cat([positive, earlier], dim=1) / self.settings.temperature
        return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device))
