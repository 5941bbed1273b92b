"""Intervals: how much a number would change with other images, other seeds or other models.

Sources: percentile bootstrap, Efron & Tibshirani (1993); widened percentiles for small samples, Hesterberg (2015);
bootstrap of crossed factors, Owen (2007); interval of a proportion, Wilson (1927, J. Am. Stat. Assoc. 22:209).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from acclimate.errors import DataError
from acclimate.stats.resampling import (
    LEVEL,
    RESAMPLES,
    Float64,
    normal,
    resampled_means,
    student,
    two_way_mean,
    two_way_means,
    widened_tail,
)

Values = npt.NDArray[np.floating[Any] | np.integer[Any] | np.bool_]


class Interval(NamedTuple):
    """A mean and the interval that holds the true one with the level asked for."""

    mean: float
    low: float
    high: float


class MeanInterval(NamedTuple):
    """The mean of `n` repeats and its interval; the ends are None where one value shows no spread."""

    mean: float
    low: float | None
    high: float | None
    n: int


def mean_interval(values: Sequence[float], level: float = LEVEL) -> MeanInterval:
    """Return the mean of independent repeats, such as seeds, and Student's t interval.

    Examples
    --------
    >>> mean_interval([1.0])
    MeanInterval(mean=1.0, low=None, high=None, n=1)
    """
    n = len(values)
    mean = math.fsum(values) / n
    if n < 2:
        return MeanInterval(mean, None, None, n)
    error = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1) / n)
    half = float(student(n - 1, level)) * error
    return MeanInterval(mean, mean - half, mean + half, n)


def share_interval(share: float, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Return Wilson's score interval of a share of `n` images; scipy.stats has it too, but is slow to import."""
    z = normal(level)
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n * n))
    return middle - half, middle + half


def at_level(interval: Interval, given_level: float, level: float = LEVEL) -> Interval:
    """Return the interval of a normal mean at another level, from the one at `given_level`.

    Examples
    --------
    >>> at_level(Interval(0.5, 0.402, 0.598), 0.95).low.__round__(4)
    0.4178
    """
    ratio = normal(level) / normal(given_level)
    mean, low, high = interval
    return Interval(mean, mean - ratio * (mean - low), mean + ratio * (high - mean))


def percentile_interval(values: Float64, *, n: int | None = None, level: float = LEVEL) -> tuple[float, float] | None:
    """Return the percentile interval of a bootstrap distribution (resamples,), of which NaN are left out.

    If each resample is made of `n` values, the interval is widened for small n. None when more than half of the
    resamples are undefined, or of a single value.
    """
    defined = values[np.isfinite(values)]
    if (n is not None and n < 2) or 2 * len(defined) < len(values) or len(defined) == 0:
        return None
    tail = (1 - level) / 2 if n is None else widened_tail(n, level)
    low, high = np.quantile(defined, [tail, 1 - tail])
    return float(low), float(high)


def outer_percentiles(values: Float64, level: float = LEVEL) -> tuple[float, float]:
    """Return the two values of a bootstrap distribution that enclose `level` of it; they may be infinite."""
    tail = (1 - level) / 2
    return float(np.quantile(values, tail, method="lower")), float(np.quantile(values, 1 - tail, method="higher"))


def bootstrap_interval(values: Values, *, level: float = LEVEL, resamples: int = RESAMPLES, seed: int) -> Interval:
    """Return the mean of `values` (n,) and its percentile bootstrap interval, widened for small n.

    The interval stays within the range of the values: if all are equal it has no width, which for "all n
    right" says little when n is small.

    Raises `DataError`: fewer than two values, a value that is not finite, a level outside (0, 1).

    Examples
    --------
    >>> bootstrap_interval(np.array([1, 1, 0, 1, 1, 1, 0, 1, 1, 1]), seed=0)
    Interval(mean=0.8, low=0.5, high=1.0)
    """
    data = checked(values, 1, level, resamples)[None]
    (mean,), (low,), (high,) = mean_intervals(data, mean_noise(data, resamples, seed), level)
    return Interval(float(mean), float(low), float(high))


def paired_difference(a: Values, b: Values, *, level: float = LEVEL, resamples: int = RESAMPLES, seed: int) -> Interval:
    """Return the mean of a - b over the same n images and its interval; arguments as in `bootstrap_interval`.

    An interval without zero says that a and b differ.
    """
    if np.shape(a) != np.shape(b):
        raise DataError(
            f"paired values have shapes {np.shape(a)} and {np.shape(b)}; expected the same images in the same order"
        )
    difference = np.subtract(a, b, dtype=np.float64)
    return bootstrap_interval(difference, level=level, resamples=resamples, seed=seed)


def paired_over(values: Values, *, level: float = LEVEL, resamples: int = RESAMPLES, seed: int) -> Interval:
    """Return the mean of `values` (seeds, images) and an interval that draws both seeds and images.

    For a difference of two models pass the difference, each seed's runs paired. With few seeds the bootstrap
    of `two_way_mean` is too narrow, as three seeds show less spread than there is; so the deviations are
    stretched by t / z, with Welch & Satterthwaite's degrees of freedom, and by the ratio of the unbiased
    standard error to the bootstrap's.

    Raises `DataError`: fewer than two seeds or images, a value that is not finite, a level outside (0, 1).
    """
    data = checked(values, 2, level, resamples)
    mean = float(data.mean())
    means = two_way_mean(data, resamples, np.random.default_rng(seed))
    stretch = _stretch(data, float(means.std()), level)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(mean, mean + stretch * (float(low) - mean), mean + stretch * (float(high) - mean))


def two_way_curves(values: Values, *, level: float = LEVEL, resamples: int = RESAMPLES, seed: int) -> Float64:
    """Return the means of `values` (m, seeds, images) with seeds and images drawn again, (resamples, m).

    Deviations from the means are stretched by t / z with seeds - 1 degrees of freedom, so that percentiles at `level`
    make an interval, and by the root of seeds / (seeds - 1): a few seeds show less spread than there is.
    """
    data = checked(values, 3, level, resamples, least=(1, 2, 1))
    seeds = data.shape[1]
    means = two_way_means(data, resamples, np.random.default_rng(seed))
    stretch = float(student(seeds - 1, level)) / normal(level) * (seeds / (seeds - 1)) ** 0.5
    centre = data.mean(axis=(1, 2))
    return np.asarray(centre + stretch * (means - centre))


def mean_noise(data: Float64, resamples: int, seed: int) -> Float64:
    """Return bootstrap means of `data` (m, n) minus the means, (resamples, m), over shared images."""
    centred = data - data.mean(axis=1, keepdims=True)
    return resampled_means(centred, resamples, np.random.default_rng(seed))


def mean_intervals(data: Float64, noise: Float64, level: float) -> tuple[Float64, Float64, Float64]:
    """Return means, lows and highs (m,) of `data` (m, n) from their `mean_noise`, percentiles widened for small n."""
    tail = widened_tail(data.shape[1], level)
    low, high = np.quantile(noise, [tail, 1 - tail], axis=0)
    means = data.mean(axis=1)
    # Rounding must not carry the interval of right-or-wrong values out of [0, 1].
    least, most = data.min(axis=1), data.max(axis=1)
    return means, np.clip(means + low, least, most), np.clip(means + high, least, most)


def _stretch(data: Float64, bootstrap_error: float, level: float) -> float:
    """Return the factor by which deviations of the two-way bootstrap of (seeds, images) are stretched."""
    seeds, images = data.shape
    by_seed = float(data.mean(axis=1).var(ddof=1)) / seeds
    by_image = float(data.mean(axis=0).var(ddof=1)) / images
    variance = by_seed + by_image
    if variance == 0 or bootstrap_error == 0:
        return 1.0
    freedom = variance**2 / (by_seed**2 / (seeds - 1) + by_image**2 / (images - 1))
    wider = float(student(freedom, level)) / normal(level)
    return float(max(1.0, variance**0.5 / bootstrap_error) * wider)


def checked(
    values: Values, ndim: int, level: float, resamples: int, *, least: tuple[int, ...] | None = None
) -> Float64:
    """Return `values` as float64 with `ndim` axes, each at least 2 or `least` long, or raise `DataError`."""
    data = np.asarray(values, dtype=np.float64)
    least = least or (2,) * ndim
    if data.ndim != ndim or any(got < need for got, need in zip(data.shape, least, strict=True)):
        expected = " x ".join(f">= {need}" for need in least)
        raise DataError(f"values have shape {data.shape}; expected {expected}: one value shows no spread")
    if not np.isfinite(data).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(data))[0])
        raise DataError(f"value {data[where]} at {where} is not finite; expected finite numbers")
    if not 0 < level < 1:
        raise DataError(f"level is {level}; expected a probability between 0 and 1, such as {LEVEL}")
    if resamples < 1:
        raise DataError(f"resamples is {resamples}; expected at least 1, such as {RESAMPLES}")
    return data
