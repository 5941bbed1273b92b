"""The level of every interval, and the quantiles of the normal and of Student's t distribution that intervals need.

scipy's special functions are imported where they are called: the import takes longer than most calls.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

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
