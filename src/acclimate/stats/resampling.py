"""What chance does: resamples, quantiles and permutation p-values.

A resample says how often each image, seed or model is drawn: it is a row of counts, so that one matrix product gives
the means of all resamples.

Sources: bootstrap, Efron & Tibshirani (1993); Poisson bootstrap, Hanley & MacGibbon (2006); bootstrap of crossed
factors, Owen (2007).

scipy's special functions are imported where they are called: the import takes longer than most calls. scipy.stats has
the correction of Benjamini & Hochberg too, but its import takes longer than that of pandas.

Sources of the p-values: Monte Carlo p-values with the +1 of Phipson & Smyth (2010); Holm (1979); Benjamini & Hochberg
(1995).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from acclimate.stats.correlations import midranks

Float64 = npt.NDArray[np.float64]

# Of all intervals that a page or a command shows, unless the user asks for another one.
LEVEL: Final = 0.9


def normal(level: float = LEVEL) -> float:
    """Return z: a normal value lies within z standard deviations of its mean with probability `level`.

    Examples
    --------
    >>> round(normal(0.95), 4)
    1.96
    """
    from scipy.special import ndtri  # type: ignore[import-untyped]  # scipy has no types

    return -float(ndtri((1 - level) / 2))


def student(freedom: npt.ArrayLike, level: float = LEVEL) -> Float64:
    """Return t like `normal`, for Student's t distribution; NaN where there is no degree of freedom.

    Examples
    --------
    >>> student([0, 1, 9]).round(2)
    array([ nan, 6.31, 1.83])
    """
    from scipy.special import stdtrit

    n = np.asarray(freedom, dtype=np.float64)
    return np.where(n > 0, -stdtrit(np.where(n > 0, n, 1.0), (1 - level) / 2), np.nan)


def widened_tail(n: int, level: float = LEVEL) -> float:
    """Return the probability below the low end of a percentile interval of a bootstrap of `n` values.

    It is that of a normal at sqrt(n / (n - 1)) times Student's quantile, which makes up for the bootstrap's narrowness
    at small n (Hesterberg 2015).
    """
    from scipy.special import ndtr, stdtrit

    return float(ndtr(np.sqrt(n / (n - 1)) * stdtrit(n - 1, (1 - level) / 2)))


EXACT = 7  # models up to which all orders are tried: 5,040


def permutation_p(x: Float64, y: Float64, *, permutations: int, seed: int) -> tuple[float, float]:
    """Return two-sided p-values of the linear and the rank correlation of `x` and `y` (n,), NaN where undefined.

    The models of the target are shuffled, so nothing is assumed but that under no relation all orders are equally
    likely. Up to `EXACT` models every order is tried.
    """
    there = np.isfinite(x) & np.isfinite(y)
    x, y = x[there], y[there]
    if len(x) < 2 or np.all(x == x[0]) or np.all(y == y[0]):
        return math.nan, math.nan
    exact = len(x) <= EXACT
    orders = (
        np.array(list(itertools.permutations(range(len(x)))))
        if exact
        else np.random.default_rng(seed).permuted(np.tile(np.arange(len(x)), (permutations, 1)), axis=1)
    )
    return _p(x, y, orders, exact=exact), _p(midranks(x), midranks(y), orders, exact=exact)


def holm(p: Float64) -> Float64:
    """Return p-values corrected so that the chance of any false claim among them is kept; NaN stays."""
    return _stepped(p, lambda ordered, m: np.maximum.accumulate(ordered * (m - np.arange(m))))


def benjamini_hochberg(p: Float64) -> Float64:
    """Return p-values corrected so that the expected share of false claims among all claims is kept; NaN stays."""
    return _stepped(p, lambda ordered, m: np.minimum.accumulate((ordered * m / np.arange(1, m + 1))[::-1])[::-1])


def _stepped(p: Float64, step: Callable[[Float64, int], Float64]) -> Float64:
    """Return what `step` makes of the m defined p-values in ascending order, at most 1, in the order of `p`."""
    result = np.full(p.shape, np.nan)
    defined = np.flatnonzero(np.isfinite(p))
    order = defined[np.argsort(p[defined], kind="stable")]
    if order.size:
        result[order] = np.minimum(step(p[order], len(order)), 1)
    return result


def _p(x: Float64, y: Float64, orders: np.ndarray[tuple[int, ...], np.dtype[np.intp]], *, exact: bool) -> float:
    a, b = x - x.mean(), y - y.mean()
    reached = np.count_nonzero(np.abs(b[orders] @ a) >= abs(float(a @ b)) * (1 - 1e-9))
    return reached / len(orders) if exact else (1 + reached) / (1 + len(orders))


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
