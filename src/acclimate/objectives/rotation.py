"""Rotation prediction (Gidaris et al. 2018, arXiv 1803.07728).

Every image is seen upright and turned by 90, 180 and 270 degrees, all four in the batch; a linear head on the pooled
features predicts the turn. The task needs images with an upright position. It is not for microscopy or aerial images,
whose domain presets turn the views and thereby make the answer random.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acclimate.errors import RecipeError
from acclimate.models.network import pooled
from acclimate.objectives.base import Objective, ObjectiveSettings, Paper
from acclimate.views import AUGMENTS, Augment

TURNS = 4


class RotationSettings(ObjectiveSettings):
    """Rotation prediction has no settings."""


class Rotation(Objective):
    """The network with a linear head of four outputs."""

    settings: RotationSettings
    paper = Paper(
        source="Gidaris et al. 2018, arXiv 1803.07728, the authors' code (network in network, CIFAR-10, 200 epochs)",
        optimizer="sgd",
        lr=0.1,
        batch=128,
        weight_decay=5e-4,
    )
    # colour is left alone: it does not say where up is
    views: Sequence[Augment] = (dataclasses.replace(AUGMENTS["light"], crop=(0.35, 1.0)),)

    def setup(self, network: nn.Module, *, features: int, class_counts: Sequence[int]) -> nn.ModuleDict:
        """Build the head."""
        self.network, self.head = network, nn.Linear(features, TURNS)
        return nn.ModuleDict({"head": self.head})

    def loss(self, views: Sequence[Tensor], labels: Tensor | None) -> Tensor:
        """Return the mean cross-entropy in nats, >= 0, over four turns of one view; log 4 is a guess.

        Raises `RecipeError` for views that are not square.
        """
        view = views[0]
        height, width = view.shape[2:]
        if height != width:
            raise RecipeError(
                f"objective 'rotation': got views of {height}x{width} pixels, expected square ones, which a turn keeps "
                "in shape; set a square image size or choose another method such as byol"
            )
        turned = torch.cat([torch.rot90(view, turn, (2, 3)) for turn in range(TURNS)])
        answers = torch.arange(TURNS, device=view.device).repeat_interleave(len(view))
        logits = self.head(pooled(self.network, turned.contiguous(memory_format=torch.channels_last)))
        return F.cross_entropy(logits.float(), answers)
