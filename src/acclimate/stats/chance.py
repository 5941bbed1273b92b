"""Could chance have done it: permutation p-values, and their correction when many are asked for.

scipy.stats has the correction of Benjamini & Hochberg too, but its import takes longer than that of pandas.

Sources: Monte Carlo p-values with the +1 of Phipson & Smyth (2010); Holm (1979); Benjamini & Hochberg (1995).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np

from acclimate.stats.correlations import Float64, midranks

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
