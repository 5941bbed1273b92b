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
from acclimate.scores.probes.normalise import BatchNorm, Normaliser, UnitLength, Whiten, ZScore
from acclimate.stats.metrics import Labels


@dataclass(frozen=True, eq=False)
class Linear:
    """A linear classifier of K classes on normalised features."""

    normaliser: Normaliser
    mean: Float64  # (d,), of the normalised features
    weights: Float64  # (d, K), of the normalised features minus the mean
    bias: Float64  # (K,)


@dataclass(frozen=True, eq=False)
class Held:
    """Features (v, d) minus their mean, in float32, which nothing is lost by: they only choose among settings."""

    x: Features
    y: Labels
    centred: Features
    mean: Float64

    @classmethod
    def of(cls, x: Features, y: Labels, *, unit_length: bool = False) -> Held:
        """Return features (v, d) and their labels, made ready; `unit_length` if that is their normalisation."""
        own = UnitLength().transform(x) if unit_length else x
        mean = own.mean(axis=0, dtype=np.float64)
        return cls(x, y, (own - mean).astype(np.float32), mean)

    def logits(self, classifiers: Sequence[Linear]) -> list[Float64]:
        """Return logits (v, K) for each classifier."""
        folded = [self._fold(one) for one in classifiers]
        weights = np.concatenate([own for own, _ in folded], axis=1).astype(np.float32)
        together = (self.centred @ weights).astype(np.float64)
        together += np.concatenate([bias for _, bias in folded])
        ends = np.cumsum([len(bias) for _, bias in folded])[:-1]
        return np.split(together, ends, axis=1)

    def _fold(self, one: Linear) -> tuple[Float64, Float64]:
        """Return weights and intercept for `centred`."""
        own, weights, origin = one.normaliser.of(self.x), one.weights, np.zeros(1)
        if isinstance(own, ZScore | BatchNorm):
            weights, origin = own.scale[:, None] * weights, own.mean
        elif isinstance(own, Whiten):
            weights, origin = own.matrix @ weights, own.mean
        return weights, one.bias - one.mean @ one.weights + (self.mean - origin) @ weights
