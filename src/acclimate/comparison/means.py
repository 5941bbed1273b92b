"""Means of what is defined: cells of a table and resamples may be missing."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from acclimate.stats.quantiles import Float64


def mean_over(values: Float64, axis: int = -1) -> Float64:
    """Return the mean over an axis of what is not NaN; NaN where nothing is left."""
    there = np.isfinite(values)
    n = there.sum(axis=axis)
    total = np.where(there, values, 0).sum(axis=axis)
    return np.where(n > 0, total / np.maximum(n, 1), np.nan)


def mean_or_none(values: npt.ArrayLike) -> float | None:
    """Return the mean of the numbers that are defined, None where none is."""
    numbers = np.asarray(values, dtype=np.float64)
    defined = numbers[np.isfinite(numbers)]
    return float(defined.mean()) if defined.size else None
