"""One layer before and after training: moments of its channels, sparsity, rank. Arrays in, numbers out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]

DEAD = 1e-10  # variance of a channel beside the layer's mean: below it a channel says nothing
ROUNDING = 1e-12  # variance beside the squared mean: below it is what float32 cannot hold


@dataclass(frozen=True, eq=False)
class Layer:
    """What one network's layer gave on all images."""

    # ``(n, C)`` features of each image, averaged over its positions (pixels or tokens, class token included)
    pooled: Float32
    # mean, variance: ``(C,)`` of each channel, over images and positions
    mean: Float64
    variance: Float64
    zeros: float  # share of all values that are exactly zero, in [0, 1]


def mean_shift(before: Layer, after: Layer) -> float | None:
    """Return ||mu1 - mu0|| / ||sigma0||: how far means moved, in units of the spread; None without spread."""
    spread = float(np.sqrt(before.variance.sum()))
    if spread**2 <= ROUNDING * (before.mean**2).sum():
        return None
    return float(np.linalg.norm(after.mean - before.mean)) / spread


def log_variance_ratio(before: Layer, after: Layer) -> tuple[float, float, float] | None:
    """Return quartiles (25%, 50%, 75%) over channels of ln(var1 / var0); None where no channel is alive in both.

    0: as wide as before; ln 4 = 1.386: twice the standard deviation.
    """
    alive = _alive(before) & _alive(after)
    if not alive.any():
        return None
    ratio = np.log(after.variance[alive] / before.variance[alive])
    low, middle, high = np.quantile(ratio, [0.25, 0.5, 0.75])
    return float(low), float(middle), float(high)


def dead(layer: Layer) -> int:
    """Return the number of channels that never change: variance below 1e-10 of the layer's mean variance."""
    return int((~_alive(layer)).sum())


def _alive(layer: Layer) -> npt.NDArray[np.bool_]:
    least = np.maximum(DEAD * layer.variance.mean(), ROUNDING * layer.mean**2)
    alive: npt.NDArray[np.bool_] = layer.variance > least
    return alive


def hoyer(layer: Layer) -> float | None:
    """Return Hoyer's sparsity of the pooled features, averaged over images, in [0, 1]; None for a single channel.

    (sqrt(C) - ||x||_1 / ||x||_2) / (sqrt(C) - 1): 0 where all channels are as strong, 1 where only one speaks.
    Images that are all zero are left out. Source: Hoyer 2004, "Non-negative matrix factorization with sparseness
    constraints", section 3.1.
    """
    x = layer.pooled.astype(np.float64)
    length = np.linalg.norm(x, axis=1)
    if x.shape[1] < 2 or not length.any():
        return None
    x, length = x[length > 0], length[length > 0]
    root = np.sqrt(x.shape[1])
    return float(np.clip((root - np.abs(x).sum(1) / length) / (root - 1), 0, 1).mean())
