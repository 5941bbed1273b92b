"""What heads and losses share: the norm in a head, arithmetic that autocast leaves alone, projectors, kept numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn

from acclimate.models.network import pooled
from acclimate.objectives.base import Objective

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
