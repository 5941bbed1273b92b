"""The task that every protocol of one comparison shares, and how a row names what was run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from acclimate.images import Images, Split
from acclimate.models import Backbone, Tap, extract
from acclimate.storage.features import Features
from acclimate.storage.results import row_key
from acclimate.storage.runtime import Runtime

if TYPE_CHECKING:
    from acclimate.training import Job
    from acclimate.training.recipe import Recipe

OUTPUT: Final = Tap()  # the network's own pooled output


@dataclass(frozen=True)
class Task:
    """What is measured: images, one split of them, a label budget, and whether the test part stays sealed.

    Attributes
    ----------
    split
        One split for all models and protocols, so that their predictions can be paired image by image.
    labels
        The label budget in words, such as ``10`` (a class) or ``25%``; None for all labels.
    use_test
        Whether rows are measured on the test part as well. Selection leaves it sealed.
    origin
        How to open the images again, for ``run.json``; None where nobody said.
    tap
        Layer and pooling that scores take features from; recipes train on the network's own output.
    """

    images: Images
    split: Split
    seed: int = 0
    labels: str | None = None
    use_test: bool = True
    origin: str | None = None
    tap: Tap = OUTPUT

    def evaluated(self) -> dict[str, npt.NDArray[np.int64]]:
        """Return the labelled parts that rows are measured on, by name."""
        parts = {"val": self.split.val}
        if self.use_test:
            parts["test"] = self.split.test
        return {name: indices for name, indices in parts.items() if len(indices)}

    def features(
        self,
        backbone: Backbone,
        runtime: Runtime,
        indices: npt.NDArray[np.int64] | None = None,
        *,
        hflip: bool = False,
    ) -> Features:
        """Return features of some images or their mirror images, or of all, from the cache where they are there."""
        return extract(backbone, self.images, runtime, tap=self.tap, indices=indices, hflip=hflip)

    def key(self, backbone: Backbone, stated: Stated) -> str:
        """Return the key that a row of this task will have."""
        return row_key(
            weights=backbone.digest,
            fingerprint=self.images.fingerprint,
            protocol=stated.protocol,
            settings=stated.settings,
            seed=self.seed,
            labels=self.labels,
        )


@dataclass(frozen=True)
class Stated:
    """How a row names what was run: the protocol, and all settings that identify it."""

    protocol: str
    settings: Mapping[str, Any]

    def on(self, task: Task, backbone: Backbone | None = None) -> Stated:
        """Return what is said of a run on a task: the measured parts, and of a backbone the layer of its features."""
        features = {} if backbone is None else {"features": str(backbone.tap(task.tap))}
        return Stated(self.protocol, {**self.settings, **features, "parts": list(task.evaluated())})


def job_of(task: Task, backbone: Backbone, runtime: Runtime, recipe: Recipe) -> Job:
    """Return the training job of a task."""
    from acclimate.training import Job

    return Job(backbone, recipe, task.images, task.split, seed=task.seed, runtime=runtime)
