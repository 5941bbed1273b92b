"""The validation images of a stage: what they say of the network as it stands, and how sure it should be."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from acclimate.models import Precision
from acclimate.models.heads import heads_of
from acclimate.training.batches import Batches, Indices, every_logits
from acclimate.training.checkpoint import Line
from acclimate.training.probe import inverse_temperature

Logits = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Validation:
    """A stage's network and the labelled images held out from it.

    Attributes
    ----------
    module
        What is trained: the network, or its classifier alone on cached features.
    images, labels
        The held-out images, and every image's label.
    calibrated
        Whether losses are those at the best temperature.
    """

    network: nn.Module
    module: nn.Module
    batches: Batches
    images: Indices
    labels: Tensor
    precision: Precision
    device: str
    calibrated: bool = False

    def values(self) -> tuple[Line, float]:
        """Return log loss and accuracy for the journal, and the log loss; of several classifiers, the best one's."""
        logits, truth = self._logits(), self._truth.numpy()
        losses = [float(self._losses(logits[:, place]).mean()) for place in range(logits.shape[1])]
        best = min(range(len(losses)), key=lambda place: (not math.isfinite(losses[place]), losses[place]))
        accuracy = float(np.mean(logits[:, best].argmax(1) == truth))
        values: Line = {"val_log_loss": losses[best], "val_accuracy": accuracy}
        several = heads_of(self.network)
        if several is not None:
            several.chosen.fill_(best)
            values |= several.named()
        return values, losses[best]

    def losses(self) -> npt.NDArray[np.float64]:
        """Return the log loss ``(m,)`` of each image under a network with one classifier."""
        return self._losses(self._logits()[:, 0])

    def factor(self) -> float:
        """Return 1 / temperature: what the logits of one classifier have to be multiplied by."""
        return inverse_temperature(self._logits()[:, 0], self._truth.numpy())

    @property
    def _truth(self) -> Tensor:
        return self.labels[torch.from_numpy(self.images)]

    def _logits(self) -> Logits:
        """Return the logits ``(m, H, C)``, of each of several classifiers."""
        return every_logits(
            self.network, self.module, self.batches, self.images, precision=self.precision, device=self.device
        )

    def _losses(self, logits: Logits) -> npt.NDArray[np.float64]:
        scores = torch.from_numpy(logits).double()
        if self.calibrated:
            scores = scores * inverse_temperature(logits, self._truth.numpy())
        losses: npt.NDArray[np.float64] = cross_entropy(scores, self._truth, reduction="none").numpy()
        return losses
