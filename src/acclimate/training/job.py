"""What decides the result of a recipe, and what comes out of it.

A watch looks at the network while an unlabelled stage runs, and may stop it. The loop knows no more of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from acclimate.images import Images, Split
from acclimate.models import Backbone, Precision, choose_device, choose_precision
from acclimate.storage.runtime import AUTO, Runtime
from acclimate.storage.store import digest, step_seed
from acclimate.training.recipe import Recipe

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class Job:
    """Everything that decides the result of a recipe; the test part of the split is never read in training."""

    backbone: Backbone
    recipe: Recipe
    images: Images
    split: Split
    seed: int = 0
    runtime: Runtime = AUTO

    @property
    def classes(self) -> int:
        """Number of classes of the classifier; 0 where the recipe ends without one."""
        return len(self.images.classes) if self.recipe.supervised else 0

    def network(self) -> nn.Module:
        """Return a fresh copy of the backbone with what the recipe puts on top and between.

        A hidden layer's first weights depend on the seed.

        Raises ModelError, RecipeError when the architecture cannot have the head or the stochastic depth that the
        recipe asks for.
        """
        import torch

        from acclimate.models.heads import with_head
        from acclimate.training.optimizer import give_depth

        network = self.backbone.network(self.classes)
        if any(stage.drop_path for stage in self.recipe.stages):
            give_depth(network, self.backbone)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(step_seed("head", self.seed))
            return with_head(network, self.recipe.classifier, self.classes, self.backbone.preprocess.size)

    def resolved(self) -> tuple[str, Precision]:
        """Return device and precision as they will be used."""
        device = choose_device(self.runtime.device)
        return device, choose_precision(self.runtime.precision, device)

    def identity(self) -> str:
        """Return a digest of all that decides the resulting weights, for safe resuming."""
        split = [digest(part.tolist()) for part in (self.split.train, self.split.val, self.split.pool)]
        return digest(
            self.backbone.digest,
            asdict(self.backbone.preprocess),
            self.recipe.model_dump(),
            self.images.fingerprint,
            split,
            self.seed,
            self.resolved(),
        )


@dataclass(frozen=True)
class StageReport:
    """What one stage was and did.

    Attributes
    ----------
    epochs, steps
        As they were done, not as they were planned.
    best_step
        The step whose network the stage ended with; None where nothing was measured on the way.
    stopped
        Why a watch ended the stage early; empty: it did not.
    kept
        ``probe`` where no step was better than the probe beyond luck, so that the stage ended with it; else empty.
    """

    objective: str
    scope: str
    trainable: int
    total: int
    epochs: float
    steps: int
    images: int
    seconds: float
    images_per_second: float
    best_step: int | None = None
    stopped: str = ""
    kept: str = ""


@dataclass(frozen=True)
class Trained:
    """The outcome of a recipe.

    Attributes
    ----------
    network
        On the CPU, in eval mode; with a classifier unless the recipe has no supervised stage.
    last
        State of the network at the end of the last watched stage, whichever of its steps was the best; else empty.
    chosen
        Which of several classifiers validation chose, such as ``{"rate": 0.01, "layers": "4"}``; empty for one.
    """

    network: nn.Module
    reports: tuple[StageReport, ...]
    device: str
    precision: Precision
    last: dict[str, torch.Tensor]
    chosen: dict[str, Any] = field(default_factory=dict)


# image indices (m,) -> pooled features (m, d) float32 under the network as it is now, in evaluation mode
Embed = Callable[[npt.NDArray[np.int64]], npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Look:
    """What one look saw."""

    values: dict[str, float | None]  # for the journal and the progress bar
    value: float  # smaller is better; the stage ends at the step with the smallest
    stop: str = ""  # why the stage has to end now; empty: go on


class Watch(Protocol):
    """Something that looks. It keeps nothing from look to look: a resumed run must see what an unbroken one sees."""

    def look(self, embed: Embed, step: int) -> Look:
        """Look at the network after ``step`` steps, 0 being the start."""
        ...
