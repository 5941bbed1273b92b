"""The space that normalised training features span, in principal axes: the coordinates in which `logistic` is solved.

Nothing but the training features is ever rotated, so with n < d the axes themselves are not needed: with the Gram
matrix Z Z' = U L U' the coordinates are U L^(1/2), and weights a of them are the weights Z' U L^(-1/2) a of the
features. That costs n^2 d, instead of the several times as much of an orthonormal basis of d-vectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from acclimate.scores.base import Features, Float64, blocks
from acclimate.scores.probes.normalise import Normaliser, mean_of


@dataclass(frozen=True, eq=False)
class Span:
    """Training features z (n, r) in r = min(n, d) principal axes, and the way back."""

    normaliser: Normaliser
    mean: Float64  # (d,), of the normalised features
    z: Features  # (n, r)
    eigenvalues: Float64  # (r,), diagonal of z.T @ z
    rows: Float64 | None  # (n, d), normalised and centred, where the axes are combinations of them
    back: Float64  # (d, r) axes; with rows, (n, r): rows.T @ back are the axes

    def unfold(self, weights: Float64) -> Float64:
        """Return weights (d, K) of the centred features that do what weights (K, r) do in principal axes."""
        combination: Float64 = self.back @ weights.T
        return combination if self.rows is None else self.rows.T @ combination


def span(x: Features, normaliser: Normaliser, *, small: int) -> Span:
    """Return the span of features (n, d) after `normaliser`; up to `small` numbers z is float64, above float32.

    With n < d, axes in which the images differ by rounding alone (eigenvalues below n times the precision of the
    largest) are columns of zeros.
    """
    n, d = x.shape
    kind = np.float64 if n * min(n, d) <= small else np.float32
    scaler = normaliser.of(x)
    mean = mean_of(x, scaler)
    if n >= d:
        z, rotation = _rotated(x, scaler, mean, kind)
        return Span(normaliser, mean, z, np.einsum("ij,ij->j", z, z, dtype=np.float64), None, rotation)
    rows = scaler.transform(x.astype(np.float64)) - mean
    values, vectors = np.linalg.eigh(rows @ rows.T)
    real = values > n * np.finfo(np.float64).eps * values[-1]
    lengths = np.sqrt(np.where(real, values, 0))
    back = vectors * np.divide(1, lengths, out=np.zeros(n), where=real)
    return Span(normaliser, mean, (vectors * lengths).astype(kind, copy=False), lengths**2, rows, back)


def _rotated(x: Features, scaler: Normaliser, mean: Float64, kind: type[np.floating[Any]]) -> tuple[Features, Float64]:
    """Return features (n, d), n >= d, normalised and centred, in their principal axes, and these (d, d)."""
    # Only orthonormal axes matter for the result; how well they are principal matters for speed alone, so the
    # covariance is float32
    z, covariance = np.empty(x.shape, kind), np.zeros((x.shape[1],) * 2)
    parts = blocks(len(x), 24 * x.shape[1])
    for rows in parts:
        z[rows] = scaler.transform(x[rows].astype(np.float64)) - mean
        part = z[rows].astype(np.float32, copy=False)
        covariance += part.T @ part
    rotation: Float64 = np.linalg.eigh(covariance)[1]
    for rows in parts:
        z[rows] = z[rows] @ rotation.astype(kind)
    return z, rotation
