"""Intervals and ties: how far a number measured on these images can be trusted.

Everything is paired and resamples images, since the images are what would differ next time.

Sources: bootstrap, Efron & Tibshirani (1993); widened percentiles for small samples, Hesterberg (2015); model
confidence set, Hansen, Lunde & Nason (2011), with their range statistic; bootstrap of crossed factors, Owen (2007).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from acclimate.errors import DataError

Values = npt.NDArray[np.floating[Any] | np.integer[Any] | np.bool_]
Float64 = npt.NDArray[np.float64]

RESAMPLES: Final = 2000
BLOCK_BYTES: Final = 32 * 2**20


class Interval(NamedTuple):
    """A mean and the interval that holds the true one with the level asked for."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class ModelSet:
    """The models that these images cannot tell apart from the best one.

    Attributes
    ----------
    in_set : (m,) bools
        With probability `level` or more every truly best model is inside. Never empty; `best` is always
        inside.
    p : (m,) floats in (0, 1]
        A model is in the set of level L when p > 1 - L: small means clearly worse than another.
    means, low, high : (m,) floats
        Mean of each model over the images, and its own interval (not simultaneous over models).
    best : int
        Index of the best mean; of equals the first.
    """

    in_set: npt.NDArray[np.bool_]
    p: Float64
    means: Float64
    low: Float64
    high: Float64
    best: int


def bootstrap_interval(values: Values, *, level: float = 0.9, resamples: int = RESAMPLES, seed: int) -> Interval:
    """Return the mean of `values` (n,) and its percentile bootstrap interval, widened for small n.

    The interval stays within the range of the values: if all are equal it has no width, which for "all n
    right" says little when n is small.

    Raises
    ------
    DataError
        Fewer than two values, a value that is not finite, a level outside (0, 1).

    Examples
    --------
    >>> bootstrap_interval(np.array([1, 1, 0, 1, 1, 1, 0, 1, 1, 1]), seed=0)
    Interval(mean=0.8, low=0.5, high=1.0)
    """
    data = _checked(values, 1, level, resamples)
    (mean,), (low,), (high,) = _intervals(data[None], _resampled(data[None], resamples, seed), level)
    return Interval(float(mean), float(low), float(high))


def paired_difference(a: Values, b: Values, *, level: float = 0.9, resamples: int = RESAMPLES, seed: int) -> Interval:
    """Return the mean of a - b over the same n images and its interval; arguments as in `bootstrap_interval`.

    An interval without zero says that a and b differ.
    """
    if np.shape(a) != np.shape(b):
        raise DataError(
            f"paired values have shapes {np.shape(a)} and {np.shape(b)}; expected the same images in the same order"
        )
    difference = np.subtract(a, b, dtype=np.float64)
    return bootstrap_interval(difference, level=level, resamples=resamples, seed=seed)


def paired_over(values: Values, *, level: float = 0.9, resamples: int = RESAMPLES, seed: int) -> Interval:
    """Return the mean of `values` (seeds, images) and an interval that draws both seeds and images.

    For a difference of two models pass the difference, each seed's runs paired. Seeds and images are
    resampled independently (Owen 2007). With few seeds that is too narrow, as three seeds show less spread
    than there is; so the deviations are stretched by t / z, with Welch & Satterthwaite's degrees of
    freedom, and by the ratio of the unbiased standard error to the bootstrap's.

    Raises
    ------
    DataError
        Fewer than two seeds or images, a value that is not finite, a level outside (0, 1).
    """
    data = _checked(values, 2, level, resamples)
    seeds, images = data.shape
    mean = float(data.mean())
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples) / seeds
    means = np.empty(resamples)
    for rows, counts in _counts(images, resamples, rng):
        means[rows] = np.einsum("bn,bn->b", draws[rows] @ data, counts) / images
    stretch = _stretch(data, float(means.std()), level)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(mean, mean + stretch * (float(low) - mean), mean + stretch * (float(high) - mean))


def model_set(
    values: Values,
    *,
    level: float = 0.9,
    resamples: int = RESAMPLES,
    seed: int,
    larger_is_better: bool = True,
) -> ModelSet:
    """Return the max-t confidence set of the best of m models, from their values on the same n images.

    Hansen, Lunde & Nason (2011): are all models equal? The largest |t| of all pairs is compared with its
    bootstrap distribution under equality; if it is too large the model with the worst t against another
    one is dropped, and the question is asked again about the rest.

    Parameters
    ----------
    values : (m, n)
        Value of each model on each image: right or wrong, log loss, ...
    level : float in (0, 1)
        Probability that no truly best model is dropped.
    larger_is_better : bool
        False for losses.

    Raises
    ------
    DataError
        Fewer than two images, a value that is not finite, a level outside (0, 1).

    Examples
    --------
    >>> image = np.arange(200)
    >>> right = np.stack([image % 10 > 0, image % 11 > 0, image % 3 > 0])  # 90%, 90.5% and 66.5%
    >>> model_set(right, seed=0).in_set
    array([ True,  True, False])
    """
    data = _checked(values, 2, level, resamples, several=False)
    noise = _resampled(data, resamples, seed)
    means, low, high = _intervals(data, noise, level)
    sign = 1.0 if larger_is_better else -1.0
    p = _p_values(sign * means, noise, _errors(data))
    return ModelSet(p > 1 - level, p, means, low, high, int(np.argmax(sign * means)))


def ranks_with_ties(
    values: Values,
    *,
    level: float = 0.9,
    resamples: int = RESAMPLES,
    seed: int,
    larger_is_better: bool = True,
) -> npt.NDArray[np.int64]:
    """Return ranks (m,) in which models that cannot be told apart share one, such as 1, 1, 1, 4, 5, 5.

    Rank 1 is the confidence set of all models; the next rank is that of the models left, and so on.
    Arguments as in `model_set`; the level holds for each of these questions by itself.
    """
    data = _checked(values, 2, level, resamples, several=False)
    sign = 1.0 if larger_is_better else -1.0
    means, noise, errors = sign * data.mean(axis=1), _resampled(data, resamples, seed), _errors(data)
    ranks = np.zeros(len(data), np.int64)
    left = np.arange(len(data))
    while left.size:
        inside = _p_values(means[left], noise[:, left], errors[np.ix_(left, left)]) > 1 - level
        ranks[left[inside]] = len(data) - left.size + 1
        left = left[~inside]
    return ranks


def _p_values(means: Float64, noise: Float64, errors: Float64) -> Float64:
    """Return the confidence set's p-value of each model; larger means are better.

    `noise` (resamples, m) are bootstrap means minus the means; `errors` (m, m) standard errors of the
    differences, from variances over n as those of the bootstrap are. Only the size of the noise counts,
    not its sign.
    """
    m = len(means)
    # (m, m): how far model j is ahead of model i. Without spread any difference is beyond doubt.
    ahead = means[None, :] - means[:, None]
    certain = np.where(np.abs(ahead) > 1e-12, np.copysign(np.inf, ahead), 0.0)
    t = np.divide(ahead, errors, out=certain, where=errors > 0)
    order, statistics = _elimination(t)
    weight = np.divide(1, errors, out=np.zeros_like(errors), where=errors > 0)
    p = np.ones(m)
    largest = np.zeros(len(noise))
    # Backwards: the pairs of a set are those of the next smaller set and those of the model dropped
    # between them, so that each pair is looked at once.
    for step in range(m - 2, -1, -1):
        model, rest = order[step], order[step + 1 :]
        gap = np.abs(noise[:, rest] - noise[:, [model]])
        largest = np.maximum(largest, (gap * weight[model, rest]).max(axis=1))
        # Right-or-wrong values tie exactly but for rounding.
        reached = np.count_nonzero(largest >= statistics[step] * (1 - 1e-9))
        p[model] = (1 + reached) / (1 + len(noise))
    # A model's p-value is the largest on the way to its being dropped (definition 4 of the paper).
    p[order[:-1]] = np.maximum.accumulate(p[order[:-1]])
    return p


def _elimination(t: Float64) -> tuple[list[int], list[float]]:
    """Return the order in which models are dropped, survivor last, and the statistic before each drop."""
    alive, order, statistics = list(range(len(t))), [], []
    while len(alive) > 1:
        worst = t[np.ix_(alive, alive)].max(axis=1)
        statistics.append(float(worst.max()))
        # Of equals the last goes, so that the first of equal models is the one that is called best.
        order.append(alive.pop(len(alive) - 1 - int(np.argmax(worst[::-1]))))
    return order + alive, statistics


def _errors(data: Float64) -> Float64:
    """Return the standard errors (m, m) of the differences between the means of `data` (m, n)."""
    centred = data - data.mean(axis=1, keepdims=True)
    covariance = centred @ centred.T
    own = np.diag(covariance)
    squared = own[:, None] + own[None, :] - 2 * covariance
    # What cancellation leaves of identical rows is no spread.
    squared[squared < 1e-12 * (own[:, None] + own[None, :])] = 0
    errors: Float64 = np.sqrt(squared) / data.shape[1]
    return errors


def _resampled(data: Float64, resamples: int, seed: int) -> Float64:
    """Return bootstrap means of `data` (m, n) minus the means, (resamples, m), over shared images."""
    centred = data - data.mean(axis=1, keepdims=True)
    result = np.empty((resamples, len(data)))
    for rows, counts in _counts(data.shape[1], resamples, np.random.default_rng(seed)):
        result[rows] = counts @ centred.T / data.shape[1]
    return result


def _counts(n: int, resamples: int, rng: np.random.Generator) -> Iterator[tuple[slice, Float64]]:
    """Yield blocks of resamples: how often each of n images is drawn, (rows, n)."""
    step = max(1, BLOCK_BYTES // (24 * n))
    for start in range(0, resamples, step):
        rows = slice(start, min(start + step, resamples))
        size = rows.stop - rows.start
        drawn = rng.integers(0, n, size=(size, n)) + n * np.arange(size)[:, None]
        yield rows, np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)


def _intervals(data: Float64, noise: Float64, level: float) -> tuple[Float64, Float64, Float64]:
    """Return means, lows and highs (m,) from bootstrap deviations (resamples, m).

    Percentiles are those of a normal at sqrt(n / (n - 1)) times Student's quantile, which makes up for the
    bootstrap's narrowness at small n.
    """
    # Imported here: scipy takes longer to import than all the rest.
    from scipy.special import ndtr, stdtrit  # type: ignore[import-untyped]  # scipy has no types

    n = data.shape[1]
    tail = float(ndtr(np.sqrt(n / (n - 1)) * stdtrit(n - 1, (1 - level) / 2)))
    low, high = np.quantile(noise, [tail, 1 - tail], axis=0)
    means = data.mean(axis=1)
    # Rounding must not carry the interval of right-or-wrong values out of [0, 1].
    least, most = data.min(axis=1), data.max(axis=1)
    return means, np.clip(means + low, least, most), np.clip(means + high, least, most)


def _stretch(data: Float64, bootstrap_error: float, level: float) -> float:
    """Return the factor by which deviations of the two-way bootstrap of (seeds, images) are stretched."""
    from scipy.special import ndtri, stdtrit

    seeds, images = data.shape
    by_seed = float(data.mean(axis=1).var(ddof=1)) / seeds
    by_image = float(data.mean(axis=0).var(ddof=1)) / images
    variance = by_seed + by_image
    if variance == 0 or bootstrap_error == 0:
        return 1.0
    freedom = variance**2 / (by_seed**2 / (seeds - 1) + by_image**2 / (images - 1))
    tail = (1 - level) / 2
    wider = float(stdtrit(freedom, tail) / ndtri(tail))
    return float(max(1.0, variance**0.5 / bootstrap_error) * wider)


def _checked(values: Values, ndim: int, level: float, resamples: int, *, several: bool = True) -> Float64:
    """Return `values` as float64 with `ndim` axes, or raise `DataError`.

    The last axis (and every other if `several`) must be at least 2 long.
    """
    data = np.asarray(values, dtype=np.float64)
    least = (2 if several else 1,) * (ndim - 1) + (2,)
    if data.ndim != ndim or any(got < need for got, need in zip(data.shape, least, strict=True)):
        expected = " x ".join(f">= {need}" for need in least)
        raise DataError(f"values have shape {data.shape}; expected {expected}: one value shows no spread")
    if not np.isfinite(data).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(data))[0])
        raise DataError(f"value {data[where]} at {where} is not finite; expected finite numbers")
    if not 0 < level < 1:
        raise DataError(f"level is {level}; expected a probability between 0 and 1, such as 0.9")
    if resamples < 1:
        raise DataError(f"resamples is {resamples}; expected at least 1, such as {RESAMPLES}")
    return data
