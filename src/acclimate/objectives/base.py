"""What an objective is: views, setup, loss, after_step, and nothing more. It knows no loader and no optimizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol

from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from acclimate.views import Augment


class Settings(BaseModel):
    """Settings of one objective; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Objective(Protocol):
    """One way to make a loss from a network and views of images.

    Attributes
    ----------
    needs_labels
        Whether ``loss`` is given labels; a class attribute, since it decides which images a stage may use.
    """

    needs_labels: ClassVar[bool]

    @property
    def views(self) -> Sequence[Augment]:
        """The distribution of each view that ``loss`` expects; empty where the stage's own augmentation is used."""
        ...

    def setup(self, network: nn.Module, *, features: int, class_counts: Sequence[int]) -> nn.ModuleDict:
        """Build what trains, or is kept, beside the network: heads, targets. It is saved with every checkpoint.

        Parameters
        ----------
        network
            Whose requires_grad and train/eval modes are set already.
        features
            d, the width of its pooled features.
        class_counts
            Labelled training images of each class; empty where the stage has no labels.
        """
        ...

    def loss(self, views: Sequence[Tensor], labels: Tensor | None) -> Tensor:
        """Return the mean loss of a batch: k views ``(b, 3, h, w)``, labels ``(b,)`` or None."""
        ...

    def after_step(self, progress: float) -> None:
        """Update what no gradient updates; ``progress`` in (0, 1] is the share of the stage's steps done."""
        ...
