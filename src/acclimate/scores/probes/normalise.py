"""Feature normalisation: fitted on training features, applied to any others; one entry of `NORMALISERS` each.

- `none`: x as it is.
- `l2`: x / |x|; a row of zeros stays (Wu et al. 2018).
- `zscore`: (x - mean) / standard deviation of the training part, as scikit-learn's StandardScaler.
- `batchnorm`: (x - mean) / sqrt(variance + 1e-6), the variance over n - 1: `BatchNorm1d` in evaluation mode
  (the probe of MAE, He et al. 2022, A.1).
- `whiten`: S^(-1/2) (x - mean), with S the covariance shrunk as by Ledoit and Wolf (2004).
- `zscore-val`: `zscore`, but every part by its own statistics (`--norm_val` of Marks et al. 2025).

Constant columns become zeros. Shrinkage is what makes `whiten` usable with n < d: directions in which the training part
does not vary get the variance that shrinkage gives them, instead of none; with n >> d it vanishes. With `zscore-val` an
image's numbers depend on the other images of its part, so its prediction does too: it is here to reproduce a paper.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from acclimate.scores.base import Features, Float64, blocks

Normalise = Literal["none", "l2", "zscore", "batchnorm", "whiten", "zscore-val"]

# A column whose standard deviation is below this share of its mean is constant up to float32 rounding.
CONSTANT: Final = 1e-6
BATCHNORM_EPS: Final = 1e-6


class Normaliser:
    """A normalisation that has seen its training features; as it stands, the one that learns and changes nothing."""

    @classmethod
    def fit(cls, x: Features) -> Normaliser:
        """Return the normalisation of training features (n, d)."""
        return cls()

    def of(self, part: Features) -> Normaliser:
        """Return what transforms the rows of this part: itself, but for `zscore-val`."""
        return self

    def transform(self, x: Features) -> Features:
        """Return normalised features, (m, d) of the type of `x`, row by row; `x` is not changed."""
        return x


class UnitLength(Normaliser):
    """Each row divided by its euclidean length."""

    def transform(self, x: Features) -> Features:
        """Return `x` with rows of length one; a row of zeros stays."""
        return _by_rows(x, lambda rows: rows * inverse_lengths(rows)[:, None])


@dataclass(frozen=True, eq=False)
class ZScore(Normaliser):
    """Each column minus its mean, divided by its standard deviation (population)."""

    mean: Float64  # (d,)
    scale: Float64  # (d,), 1 / standard deviation; 0 for a constant column

    @classmethod
    def fit(cls, x: Features) -> ZScore:
        """Learn mean and standard deviation of each column."""
        mean, variance = moments(x)
        return cls(mean, _inverse(np.sqrt(variance), variance, mean))

    def transform(self, x: Features) -> Features:
        """Return (x - mean) * scale."""
        return _by_rows(x, lambda rows: (rows - self.mean) * self.scale)


class BatchNorm(ZScore):
    """Batch norm without scale and shift, in evaluation mode: `scale` is 1 / sqrt(variance + 1e-6)."""

    @classmethod
    def fit(cls, x: Features) -> BatchNorm:
        """Learn the statistics of the training features as one batch."""
        mean, variance = moments(x)
        running = variance * (len(x) / max(len(x) - 1, 1))
        return cls(mean, _inverse(np.sqrt(running + BATCHNORM_EPS), variance, mean))


@dataclass(frozen=True, eq=False)
class Whiten(Normaliser):
    """Rotated, scaled and rotated back (ZCA), so that the shrunk covariance becomes the identity."""

    mean: Float64  # (d,)
    matrix: Float64  # (d, d), symmetric

    @classmethod
    def fit(cls, x: Features) -> Whiten:
        """Learn mean and shrunk covariance. Cost: n d^2 + d^3."""
        mean, covariance = moments(x)[0], shrunk_covariance(x)
        values, vectors = np.linalg.eigh(covariance)
        real = values > CONSTANT**2 * values.max()
        root = np.divide(1, np.sqrt(np.maximum(values, 0)), out=np.zeros_like(values), where=real)
        return cls(mean, (vectors * root) @ vectors.T)

    def transform(self, x: Features) -> Features:
        """Return (x - mean) @ matrix."""
        return _by_rows(x, lambda rows: (rows - self.mean) @ self.matrix)


class ZScoreEach(Normaliser):
    """Each part standardised by itself."""

    def of(self, part: Features) -> ZScore:
        """Return the z-score of this part."""
        return ZScore.fit(part)

    def transform(self, x: Features) -> Features:
        """Return `x` standardised with its own mean and standard deviation."""
        return ZScore.fit(x).transform(x)


NORMALISERS: Final[dict[Normalise, type[Normaliser]]] = {
    "none": Normaliser,
    "l2": UnitLength,
    "zscore": ZScore,
    "batchnorm": BatchNorm,
    "whiten": Whiten,
    "zscore-val": ZScoreEach,
}


def _by_rows(x: Features, change: Callable[[Features], Features]) -> Features:
    """Return changed rows (m, d) of the type of `x`, a block at a time."""
    result = np.empty_like(x)
    for rows in blocks(len(x), 16 * x.shape[1]):
        result[rows] = change(x[rows])
    return result


def moments(x: Features) -> tuple[Float64, Float64]:
    """Return mean and variance (population) of each column in float64, in two passes."""
    mean = x.mean(axis=0, dtype=np.float64)
    square = np.zeros(x.shape[1])
    for rows in blocks(len(x), 16 * x.shape[1]):
        square += ((x[rows] - mean) ** 2).sum(axis=0)
    return mean, square / len(x)


def mean_of(x: Features, normaliser: Normaliser) -> Float64:
    """Return the column means (d,) of the features as `normaliser` transforms them."""
    total = np.zeros(x.shape[1])
    for rows in blocks(len(x), 16 * x.shape[1]):
        total += normaliser.transform(x[rows]).sum(axis=0, dtype=np.float64)
    return total / len(x)


def inverse_lengths(x: Features) -> Float64:
    """Return 1 / euclidean length of each row, 0 for a row of zeros."""
    length = np.sqrt(np.einsum("ij,ij->i", x, x, dtype=np.float64))
    return np.asarray(np.divide(1, length, out=np.zeros_like(length), where=length > 0))


def shrinkage(squared: float, level: float, fourth: float, n: int, d: int) -> float:
    """Return the weight w in [0, 1] of Ledoit & Wolf (2004): min(b, s) / s.

    s = |S - m I|^2 and b = sum_i |x_i x_i' - S|^2 / n^2 of a covariance S (d, d) of n rows, from `squared` |S|^2, the
    sum over entries, `level` m, its mean eigenvalue, and `fourth`, the sum over rows of |x_i|^4.
    """
    noise, spread = (fourth / n - squared) / n, squared - d * level**2
    return min(noise, spread) / spread if spread > 0 else 0.0


def shrunk_covariance(x: Features) -> Float64:
    """Return (1 - w) S + w m I, S the covariance (over n), m its mean eigenvalue, w its `shrinkage`."""
    (n, d), mean = x.shape, moments(x)[0]
    covariance, fourth = np.zeros((d, d)), 0.0
    for rows in blocks(n, 16 * d):
        part = x[rows] - mean
        covariance += part.T @ part
        fourth += float((np.einsum("ij,ij->i", part, part) ** 2).sum())
    covariance /= n
    level = np.trace(covariance) / d
    weight = shrinkage(float((covariance**2).sum()), level, fourth, n, d)
    return np.asarray((1 - weight) * covariance + weight * level * np.eye(d))


def _inverse(deviation: Float64, variance: Float64, mean: Float64) -> Float64:
    varies = np.sqrt(variance) > CONSTANT * np.abs(mean)
    return np.divide(1, deviation, out=np.zeros_like(mean), where=varies)
