"""The interface of an objective: views, setup, loss, after_step. An objective depends on no loader and no optimizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict

from acclimate.views import Augment

if TYPE_CHECKING:
    from torch import Tensor, nn


class ObjectiveSettings(BaseModel):
    """Settings of one objective; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


@dataclass(frozen=True)
class Paper:
    """The settings that the paper trained with: the automatic choices start from them, and the docs print them."""

    source: str  # Authors, year, arXiv number, and the network and data the numbers below are for
    optimizer: str  # ``lars``, ``sgd`` or ``adamw``; empty where nothing is trained
    # Peak learning rate at this number of images a step
    lr: float
    batch: int
    weight_decay: float  # as in the paper
    # Settings of the objective in the paper, by the names of its settings; what is left out has no counterpart there or
    # is that class's default
    options: Mapping[str, bool | int | float | str] = field(default_factory=dict)


class Objective(Protocol):
    """One way to make a loss from a network and views of images."""

    settings: Any  # of its own class
    # Whether ``loss`` is given labels; a class attribute, since it decides which images a stage may use
    needs_labels: ClassVar[bool] = False
    # Whether ``loss`` has no gradient, and the forward pass itself is the work (batch-norm statistics)
    gradient_free: ClassVar[bool] = False
    paper: ClassVar[Paper | None] = None  # where it comes from; None for plain supervision
    # The distribution of each view that ``loss`` expects, known after ``setup``; empty: the stage's own
    views: Sequence[Augment]

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    def setup(self, network: nn.Module, *, features: int, class_counts: Sequence[int]) -> nn.ModuleDict:
        """Build what trains, or is kept, beside the network: heads, targets, queues. Every checkpoint holds it whole.

        Raises `RecipeError` when this architecture cannot do it; the message says which can.

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
