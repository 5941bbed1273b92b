"""Cross-entropy on labels, with label smoothing (Szegedy et al. 2016, section 7) and class weights.

Torch is imported by the functions that compute: most recipes have this objective, and they are read without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from acclimate.objectives.base import Objective, ObjectiveSettings
from acclimate.views import Augment

if TYPE_CHECKING:
    from torch import Tensor, nn


class SupervisedSettings(ObjectiveSettings):
    """Settings of the supervised objective.

    Attributes
    ----------
    label_smoothing
        Probability spread evenly over all classes, in [0, 1).
    class_weights
        ``balanced`` weighs each class by n / (C n_c), as scikit-learn does; ``none`` counts every image once.
    """

    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    class_weights: str = Field(default="none", pattern="^(none|balanced)$")


class Supervised(Objective):
    """Mean cross-entropy of the network's logits against the labels."""

    settings: SupervisedSettings
    needs_labels = True
    paper = None
    views: Sequence[Augment] = ()

    def setup(self, network: nn.Module, *, features: int, class_counts: Sequence[int]) -> nn.ModuleDict:
        """Keep the network; balanced weights are worked out from the counts, 0 for a class without images."""
        import torch
        from torch import nn

        self.network = network
        self.weight: Tensor | None = None
        if self.settings.class_weights == "balanced":
            counts = torch.tensor(class_counts, dtype=torch.float32)
            weight = counts.sum() / (len(counts) * counts.clamp(min=1)) * (counts > 0)
            self.weight = weight.to(next(network.parameters()).device)
        return nn.ModuleDict()

    def loss(self, views: Sequence[Tensor], labels: Tensor | None) -> Tensor:
        """Return the mean cross-entropy; weighted, it is the weighted mean, as torch defines it.

        Of several classifiers at once it is the sum of theirs.
        """
        from torch.nn.functional import cross_entropy

        if labels is None:
            raise ValueError("the supervised objective needs labels")  # the recipe's needs_labels rules this out
        logits = self.network(views[0]).float()
        if logits.ndim == 3:
            return self._of_several(logits, labels)
        return cross_entropy(logits, labels, weight=self.weight, label_smoothing=self.settings.label_smoothing)

    def _of_several(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the sum over classifiers, ``(b, H, C)``, of what each would have alone.

        A classifier whose loss is not finite is left out while another's is finite: the sum would not be finite either.
        """
        import torch
        from torch.nn.functional import cross_entropy

        count, smoothing = logits.shape[1], self.settings.label_smoothing
        image_losses = cross_entropy(
            logits.flatten(0, 1),
            labels.repeat_interleave(count),
            weight=self.weight,
            label_smoothing=smoothing,
            reduction="none",
        ).view(-1, count)  # (b, H)
        losses = image_losses.sum(0) / (len(labels) if self.weight is None else self.weight[labels].sum())
        finite = losses.isfinite()
        return torch.where(finite | ~finite.any(), losses, 0.0).sum()
