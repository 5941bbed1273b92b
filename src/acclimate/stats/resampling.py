"""Resamples: how often each image, seed or model is drawn.

A resample is a row of counts, so that one matrix product gives the means of all resamples.

Sources: bootstrap, Efron & Tibshirani (1993); Poisson bootstrap, Hanley & MacGibbon (2006); bootstrap of crossed
factors, Owen (2007).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from acclimate.stats.quantiles import Float64

RESAMPLES: Final = 2000
BLOCK_BYTES: Final = 32 * 2**20
_POISSON: Final = np.cumsum(np.exp(-1.0) / np.array([1, 1, 2, 6, 24, 120, 720, 5040, 40320]))


def bootstrap_counts(n: int, resamples: int, rng: np.random.Generator) -> Float64:
    """Return how often each of `n` things is drawn when n are drawn with replacement, (resamples, n)."""
    return rng.multinomial(n, np.full(n, 1 / n), size=resamples).astype(np.float64)


def count_blocks(n: int, resamples: int, rng: np.random.Generator) -> Iterator[tuple[slice, Float64]]:
    """Yield blocks of resamples and their counts (rows, n), for n that may be large: drawing n indices is cheaper."""
    step = max(1, BLOCK_BYTES // (24 * n))
    for start in range(0, resamples, step):
        rows = slice(start, min(start + step, resamples))
        size = rows.stop - rows.start
        indices = rng.integers(0, n, size=(size, n)) + n * np.arange(size)[:, None]
        yield rows, np.bincount(indices.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)


def poisson_counts(n: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return how often each of `n` images is drawn (n,), each by itself: the first m do not depend on n."""
    return np.searchsorted(_POISSON, rng.random(n))


def resampled_means(values: Float64, resamples: int, rng: np.random.Generator) -> Float64:
    """Return the means of `values` (m, n) over n images in each resample, (resamples, m)."""
    means = np.empty((resamples, len(values)))
    for rows, counts in count_blocks(values.shape[1], resamples, rng):
        means[rows] = counts @ values.T / values.shape[1]
    return means


def two_way_blocks(
    seeds: int, images: int, resamples: int, rng: np.random.Generator
) -> Iterator[tuple[slice, Float64, Float64]]:
    """Yield blocks of resamples: shares of the seeds (rows, seeds), and counts of the images (rows, images).

    Seeds and images are drawn independently of each other (Owen 2007).
    """
    shares = bootstrap_counts(seeds, resamples, rng) / seeds
    for rows, counts in count_blocks(images, resamples, rng):
        yield rows, shares[rows], counts


def two_way_mean(values: Float64, resamples: int, rng: np.random.Generator) -> Float64:
    """Return the mean of `values` (seeds, images) in each resample of both, (resamples,)."""
    seeds, images = values.shape
    means = np.empty(resamples)
    for rows, shares, counts in two_way_blocks(seeds, images, resamples, rng):
        means[rows] = np.einsum("bn,bn->b", shares @ values, counts) / images
    return means


def two_way_means(values: Float64, resamples: int, rng: np.random.Generator) -> Float64:
    """Return the means of `values` (m, seeds, images) with seeds and images drawn alike for all m, (resamples, m)."""
    m, seeds, images = values.shape
    means = np.empty((resamples, m))
    for rows, shares, counts in two_way_blocks(seeds, images, resamples, rng):
        by_seed = (values.reshape(-1, images) @ (counts / images).T).reshape(m, seeds, -1)
        means[rows] = np.einsum("msr,rs->rm", by_seed, shares)
    return means
