"""Principal axes of normalised training features: the coordinates in which `logistic` and `ridge` are solved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from acclimate.scores.base import Features, Float64, blocks
from acclimate.scores.normalise import Normaliser, mean_of


@dataclass(frozen=True, eq=False)
class Axes:
    """Centre and axes of the normalised training features; r = min(n, d) of them."""

    normaliser: Normaliser
    mean: Float64  # (d,), of the normalised features
    rotation: Float64  # (d, r), orthonormal columns

    def project(self, x: Features, kind: type[np.floating[Any]] = np.float32) -> Features:
        """Return normalised features minus the mean in principal axes, (m, r) of type `kind`."""
        own = self.normaliser.of(x)
        result = np.empty((len(x), self.rotation.shape[1]), kind)
        rotation = self.rotation.astype(kind)
        for rows in blocks(len(x), 24 * x.shape[1]):
            result[rows] = (own.transform(x[rows].astype(np.float64)) - self.mean).astype(kind, copy=False) @ rotation
        return result


def principal_axes(x: Features, normaliser: Normaliser) -> Axes:
    """Return the mean and the principal axes of features (n, d) after `normaliser`.

    Only orthonormal axes matter for the result; how well they are principal matters for speed alone, so the
    covariance is float32. With n < d the axes span the images: an orthonormal basis of them is rotated.
    """
    own = normaliser.of(x)
    mean = mean_of(x, own)
    n, d = x.shape
    if n < d:
        basis, triangle = np.linalg.qr((own.transform(x.astype(np.float64)) - mean).T)  # (d, n), (n, n)
        return Axes(normaliser, mean, basis @ np.linalg.eigh(triangle @ triangle.T)[1])
    covariance = np.zeros((d, d))
    for rows in blocks(n, 16 * d):
        part = (own.transform(x[rows].astype(np.float64)) - mean).astype(np.float32)
        covariance += part.T @ part
    return Axes(normaliser, mean, np.linalg.eigh(covariance)[1])
