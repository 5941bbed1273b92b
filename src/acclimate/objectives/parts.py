"""What objectives share: a target that follows slowly, the norm in a head, projectors, losses outside of autocast.

The target is an exponential moving average of modules (Grill et al. 2020, equation 1). The papers leave open which
statistics its batch norms have, and implementations differ:

- ``forward``  the target runs in train mode and gathers its own running statistics (lightly, solo-learn);
- ``ema``      its float buffers follow the online modules' at the momentum of the weights.

In both, the target's forward pass normalises with the batch's own statistics wherever the online one does: a frozen
batch norm is frozen in both. The average moves once an optimizer step, however many batches were accumulated for it.

Multi-crop (Caron et al. 2020, arXiv 2006.09882, section 3.2) is two full views, and small views of small areas.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn

from acclimate.models.network import pooled, takes_any_size
from acclimate.objectives.base import Objective
from acclimate.views import Augment


def ema_momentum(progress: float, *, start: float) -> float:
    """Return BYOL's target momentum: ``1 - (1 - start) (cos(pi progress) + 1) / 2``, from ``start`` to 1.

    ``progress`` is the share of the steps done, in [0, 1]. Source: Grill et al. 2020, section 3.3.
    """
    return 1 - (1 - start) * (math.cos(math.pi * progress) + 1) / 2


class Momentum:
    """Copies of some modules that follow them.

    ``copies`` are the targets, in the order of the modules; without gradients. They belong into what ``setup`` returns.

    Parameters
    ----------
    online
        The modules that the copies follow.
    start
        The momentum m at the start, in [0, 1].
    buffers
        ``forward`` or ``ema``; see above.
    schedule
        ``cosine``: m rises from ``start`` to 1 by a half cosine (Grill et al. 2020); ``constant``: it stays (He et al.
        2020, MoCo).
    """

    def __init__(
        self, online: Sequence[nn.Module], *, start: float, buffers: str = "forward", schedule: str = "cosine"
    ) -> None:
        self.online, self.start, self.buffers, self.schedule = list(online), start, buffers, schedule
        self.copies = nn.ModuleList(copy.deepcopy(module).requires_grad_(False) for module in self.online)

    def follow_modes(self) -> None:
        """Put each target into the train or eval mode of what it follows."""
        for online, target in zip(self.online, self.copies, strict=True):
            for a, b in zip(online.modules(), target.modules(), strict=True):
                b.training = a.training

    @torch.no_grad()
    def update(self, progress: float) -> None:
        """Move: t <- m t + (1 - m) o, with m of the schedule at this progress of the stage, in [0, 1]."""
        momentum = ema_momentum(progress, start=self.start) if self.schedule == "cosine" else self.start
        pairs: list[tuple[torch.Tensor, torch.Tensor]] = []
        for online, target in zip(self.online, self.copies, strict=True):
            parameters = zip(online.parameters(), target.parameters(), strict=True)
            pairs += [(o, t) for o, t in parameters if o.requires_grad]
            if self.buffers == "ema":
                buffers = zip(online.buffers(), target.buffers(), strict=True)
                pairs += [(o, t) for o, t in buffers if o.is_floating_point()]
        torch._foreach_lerp_([t for _, t in pairs], [o.detach() for o, _ in pairs], 1 - momentum)


class Followed(Objective):
    """The network with a projector, maybe a predictor, and a target that follows network and projector.

    Of the settings it reads ``ema`` and ``target_buffers``, the start and the buffers of `Momentum`.
    """

    def follow(self, network: nn.Module, heads: dict[str, nn.Module], *, schedule: str = "cosine") -> nn.ModuleDict:
        """Keep the network and its heads, make their target, and return heads and target for `setup`."""
        self.network, self.heads = network, heads
        self.projector = heads["projector"]
        start, buffers = self.settings.ema, self.settings.target_buffers
        self.momentum = Momentum([network, self.projector], start=start, buffers=buffers, schedule=schedule)
        self.target, self.target_projector = self.momentum.copies
        return nn.ModuleDict({**heads, "targets": self.momentum.copies})

    @torch.no_grad()
    def goals(self, views: Sequence[Tensor]) -> list[Tensor]:
        """Return what the target makes of each view, ``(b, out)``.

        Each view goes through on its own, here and in `guesses`, so that batch statistics never mix the two.
        """
        self.momentum.follow_modes()
        return [self.target_projector(pooled(self.target, view)) for view in views]

    def guesses(self, views: Sequence[Tensor]) -> list[Tensor]:
        """Return what projector and predictor make of each view, ``(b, out)``."""
        return [self.heads["predictor"](self.projector(pooled(self.network, view))) for view in views]

    def after_step(self, progress: float) -> None:
        """Move the target towards the network."""
        self.momentum.update(progress)


Head = TypeVar("Head", bound=nn.Module)

# of a head: batch norm as in the papers, or layer norm for batches too small for batch statistics
HeadNorm = Annotated[str, Field(pattern="^(batch|layer)$")]


def normed(head: Head, norm: str) -> Head:
    """Return a head that was just built with the norm asked for: ``layer`` puts a layer norm where a batch norm was.

    It has the width of the batch norm, and a scale and a shift where that one had them; ``batch`` changes nothing.
    """
    if norm == "layer":
        for parent in list(head.modules()):
            for name, child in parent.named_children():
                if isinstance(child, nn.BatchNorm1d):
                    setattr(parent, name, nn.LayerNorm(child.num_features, elementwise_affine=child.affine))
    return head


def in_float32(loss: Callable[..., Tensor], *embeddings: Tensor) -> Tensor:
    """Return ``loss(*embeddings)`` in float32, also inside autocast.

    Embeddings in float32 are not enough there: autocast lowers every matrix product, such as the similarities of a
    contrastive loss or a covariance.
    """
    with torch.autocast(embeddings[0].device.type, enabled=False):
        return loss(*(embedding.float() for embedding in embeddings))


class Projected(Objective):
    """The network with a projector, and a loss of what both make of two views of a batch of b >= 2 images.

    Of the settings it reads the projector's widths, ``hidden`` and ``out``, and ``head_norm``.
    """

    head: Any  # lightly's projector, made of the width of the features, ``hidden`` and ``out``

    def __init__(self, settings: Any, criterion: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.settings, self.criterion = settings, criterion

    def setup(self, network: nn.Module, *, features: int, class_counts: Sequence[int]) -> nn.ModuleDict:
        """Build the projector."""
        self.network, settings = network, self.settings
        self.projector = normed(self.head(features, settings.hidden, settings.out), settings.head_norm)
        return nn.ModuleDict({"projector": self.projector})

    def loss(self, views: Sequence[Tensor], labels: Tensor | None) -> Tensor:
        """Return the criterion of the projector's outputs for the two views, in float32."""
        first, second = (self.projector(pooled(self.network, view)) for view in views)
        return in_float32(self.criterion, first, second)


class Number(nn.Module):
    """A number in a state dict, such as the progress that the next step's loss depends on.

    A buffer would move to the accelerator with its module, and every look at it would wait for all work queued there.
    Read and write ``value``, which starts at 0.
    """

    def __init__(self) -> None:
        super().__init__()
        self.value = 0.0

    def get_extra_state(self) -> Tensor:
        """Return the value as a scalar tensor; torch asks for it when it makes a state dict."""
        return torch.tensor(self.value, dtype=torch.float64)

    def set_extra_state(self, state: Tensor) -> None:
        """Take the value that a state dict holds."""
        self.value = float(state)


FULL = 2  # views at the network's own size
SMALL = 96 / 224  # side of a small view, in both papers


def crop_views(
    network: nn.Module, full: Sequence[Augment], small: Augment, *, count: int, split: float
) -> tuple[Augment, ...]:
    """Return the two full views, then ``count`` small ones.

    They are ``full`` and ``small`` but for their areas: full views show at least the share ``split`` of the image's
    area, small ones at most this and at least 0.05. A network with a fixed input size sees the small areas at full
    size: the task is the same, its cost is not.
    """
    scale = SMALL if count and takes_any_size(network) else 1.0
    wide = [dataclasses.replace(view, crop=(split, 1.0)) for view in full]
    narrow = dataclasses.replace(small, crop=(0.05, split), scale=scale)
    return (*wide, *[narrow] * count)


def crop_features(network: nn.Module, views: Sequence[Tensor]) -> Tensor:
    """Return pooled features ``(k b, d)`` of k views, view by view.

    The full views are one forward pass and the small ones another, as in the authors' code: batch statistics are over
    all views of one kind.
    """
    kinds = [views[:FULL], views[FULL:]]
    return torch.cat([pooled(network, torch.cat(list(kind))) for kind in kinds if kind])
