"""Ties: which models these images cannot tell apart from the best one.

Everything is paired and resamples images, since the images are what would differ next time.

Source: model confidence set, Hansen, Lunde & Nason (2011), with their range statistic.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from acclimate.stats.intervals import Values, checked, mean_intervals, mean_noise
from acclimate.stats.resampling import LEVEL, RESAMPLES, Float64


@dataclass(frozen=True, eq=False)
class ModelSet:
    """The models that these images cannot tell apart from the best one."""

    # (m,): with probability `level` or more every truly best model is inside. Never empty; `best` is always inside.
    in_set: npt.NDArray[np.bool_]
    p: Float64  # (m,), in (0, 1]: a model is in the set of level L when p > 1 - L; small is clearly worse than another
    # (m,): mean of each model over the images, and its own interval (not simultaneous over models)
    means: Float64
    low: Float64
    high: Float64
    best: int  # index of the best mean; of equals the first


def model_set(
    values: Values, *, level: float = LEVEL, resamples: int = RESAMPLES, seed: int, larger_is_better: bool = True
) -> ModelSet:
    """Return the max-t confidence set of the best of m models, from their values on the same n images.

    Hansen, Lunde & Nason (2011): are all models equal? The largest |t| of all pairs is compared with its
    bootstrap distribution under equality; if it is too large the model with the worst t against another
    one is dropped, and the question is asked again about the rest.

    Raises `DataError`: fewer than two images, a value that is not finite, a level outside (0, 1).

    Parameters
    ----------
    values : (m, n)
        Value of each model on each image: right or wrong, log loss, ...
    level : float in (0, 1)
        Probability that no truly best model is dropped.
    larger_is_better : bool
        False for losses.

    Examples
    --------
    >>> image = np.arange(200)
    >>> right = np.stack([image % 10 > 0, image % 11 > 0, image % 3 > 0])  # 90%, 90.5% and 66.5%
    >>> model_set(right, seed=0).in_set
    array([ True,  True, False])
    """
    data = checked(values, 2, level, resamples, least=(1, 2))
    noise = mean_noise(data, resamples, seed)
    means, low, high = mean_intervals(data, noise, level)
    sign = 1.0 if larger_is_better else -1.0
    p = _p_values(sign * means, noise, _errors(data))
    return ModelSet(p > 1 - level, p, means, low, high, int(np.argmax(sign * means)))


def ranks_with_ties(
    values: Values, *, level: float = LEVEL, resamples: int = RESAMPLES, seed: int, larger_is_better: bool = True
) -> npt.NDArray[np.int64]:
    """Return ranks (m,) in which models that cannot be told apart share one, such as 1, 1, 1, 4, 5, 5.

    Rank 1 is the confidence set of all models; the next rank is that of the models left, and so on.
    Arguments as in `model_set`; the level holds for each of these questions by itself.
    """
    data = checked(values, 2, level, resamples, least=(1, 2))
    sign = 1.0 if larger_is_better else -1.0
    means, noise, errors = sign * data.mean(axis=1), mean_noise(data, resamples, seed), _errors(data)
    ranks = np.zeros(len(data), np.int64)
    rest = np.arange(len(data))
    while rest.size:
        inside = _p_values(means[rest], noise[:, rest], errors[np.ix_(rest, rest)]) > 1 - level
        ranks[rest[inside]] = len(data) - rest.size + 1
        rest = rest[~inside]
    return ranks


def _p_values(means: Float64, noise: Float64, errors: Float64) -> Float64:
    """Return the confidence set's p-value of each model; larger means are better.

    `noise` (resamples, m) are bootstrap means minus the means; `errors` (m, m) standard errors of the differences, from
    variances over n as those of the bootstrap are. Only the size of the noise counts, not its sign.
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
    return np.asarray(np.sqrt(squared) / data.shape[1])
