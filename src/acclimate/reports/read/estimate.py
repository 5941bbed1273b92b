"""Means with intervals, paired differences and rank agreement: the arithmetic of a report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Z95 = 1.959963984540054


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95% interval; the ends are None where one value alone gives no interval."""

    mean: float
    low: float | None
    high: float | None
    n: int


def mean_interval(values: Sequence[float]) -> Estimate:
    """Return the mean and Student's t interval (95%) of independent repeats, such as seeds."""
    n = len(values)
    mean = math.fsum(values) / n
    if n < 2:
        return Estimate(mean, None, None, n)
    from scipy.special import stdtrit  # type: ignore[import-untyped]  # scipy ships no types

    error = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1) / n)
    half = float(stdtrit(n - 1, 0.975)) * error
    return Estimate(mean, mean - half, mean + half, n)


def wilson(share: float, n: int) -> tuple[float, float]:
    """Return the 95% score interval of a share of ``n`` images (Wilson 1927, J. Am. Stat. Assoc. 22:209)."""
    z2 = Z95**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return middle - half, middle + half


def ranks(values: Sequence[float]) -> list[float]:
    """Return 1-based ranks, smallest first; equal values share the mean of their ranks."""
    order = sorted(values)
    return [order.index(v) + (order.count(v) + 1) / 2 for v in values]


def spearman(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Return Spearman's rank correlation with ties, or None below three points or without spread."""
    if len(x) < 3:
        return None
    a, b = ranks(x), ranks(y)
    middle = (len(x) + 1) / 2
    spread = math.sqrt(sum((v - middle) ** 2 for v in a) * sum((v - middle) ** 2 for v in b))
    if spread == 0:
        return None
    return sum((p - middle) * (q - middle) for p, q in zip(a, b, strict=True)) / spread
