"""Validation features for many linear classifiers: one product serves all of them, whatever each one's normalisation.

A classifier of normalised features is one of the features themselves wherever the normalisation is linear: its scale
moves into the weights, its origin into the intercept. Unit length is the exception, but it learns nothing, so it is
taken once for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from acclimate.scores.base import Features, Float64
from acclimate.scores.probes.normalise import Normaliser, UnitLength, Whiten, ZScore
from acclimate.stats.metrics import Labels


@dataclass(frozen=True, eq=False)
class Linear:
    """A linear classifier of K classes on normalised features."""

    normaliser: Normaliser
    mean: Float64  # (d,), of the normalised features
    weights: Float64  # (d, K), of the normalised features minus the mean
    bias: Float64  # (K,)


@dataclass(frozen=True, eq=False)
class ValidationSet:
    """Validation features (v, d) and labels (v,), with the features minus their mean in float32.

    They only choose among settings, so float32 is precise enough.
    """

    x: Features
    y: Labels
    centred: Features
    mean: Float64

    @classmethod
    def of(cls, x: Features, y: Labels, *, unit_length: bool = False) -> ValidationSet:
        """Return features (v, d) and their labels, made ready; `unit_length` if that is their normalisation."""
        z = UnitLength().transform(x) if unit_length else x
        mean = z.mean(axis=0, dtype=np.float64)
        return cls(x, y, (z - mean).astype(np.float32), mean)

    def logits(self, classifiers: Sequence[Linear]) -> list[Float64]:
        """Return logits (v, K) for each classifier."""
        folded = [self._fold(classifier) for classifier in classifiers]
        weights = np.concatenate([columns for columns, _ in folded], axis=1).astype(np.float32)
        logits = (self.centred @ weights).astype(np.float64)
        logits += np.concatenate([bias for _, bias in folded])
        ends = np.cumsum([len(bias) for _, bias in folded])[:-1]
        return np.split(logits, ends, axis=1)

    def _fold(self, classifier: Linear) -> tuple[Float64, Float64]:
        """Return weights and intercept for `centred`."""
        normaliser, weights, origin = classifier.normaliser.of(self.x), classifier.weights, np.zeros(1)
        if isinstance(normaliser, ZScore):
            weights, origin = normaliser.scale[:, None] * weights, normaliser.mean
        elif isinstance(normaliser, Whiten):
            weights, origin = normaliser.matrix @ weights, normaliser.mean
        bias = classifier.bias - classifier.mean @ classifier.weights + (self.mean - origin) @ weights
        return weights, bias
