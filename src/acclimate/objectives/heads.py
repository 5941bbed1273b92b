"""What heads and losses share: the norm inside a head, arithmetic that autocast leaves alone, and a kept number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn

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


class Number(nn.Module):
    """A number in a state dict, such as the progress that the next step's loss depends on.

    A buffer would move to the accelerator with its module, and every look at it would wait for all work queued there.

    Attributes
    ----------
    value
        Starts at 0; read and write it.
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
