"""The largest log evidence of a linear model of each class, over the one unknown t that is left (see `logme`).

    L(t) = -1/2 ln |I + X X^T / t| - n/2 ln(R(t) / n),  R(t) = t y^T (X X^T + t I)^-1 y.

The first term rises with t and the second falls: between a and b, L is at most the first at b plus the second at a. A
grid over 24 decades is halved only where this bound lets some class still find more than it has; the best point is that
of the whole grid, for a third of its factors.

Between the neighbours of that point L is as good as a polynomial. As a function of ln t it is analytic in
|Im ln t| < pi (the poles of R are negative t, and it has no zeros in between), so the error of Chebyshev points over
one decade falls as 5.6^-NODES (Trefethen, "Approximation Theory and Approximation Practice", chapter 8). They cost one
factor each for all classes together. The polynomial says where the maximum is, and L itself, once, how high it is: an
error in the place counts by its square.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
import numpy.polynomial.chebyshev as chebyshev
import numpy.typing as npt

from acclimate.scores.base import Float64
from acclimate.scores.estimates.spectrum import ALL, LabelIndex, Spectrum

# ln t relative to the largest squared singular value: from "no prior" to "no weights". A fit without any error would
# have infinite evidence at t = 0; the lower end bounds it.
GRID: Final = np.log(10.0) * np.arange(-12.0, 12.5, 0.5)
NODES: Final = 8
PLACES: Final = 512  # steps in which the polynomial is searched, before a parabola through three of them


class Evidence:
    """L(t) of every class, from the spectrum of the features; `dof` is n, or n - 1 of centred ones."""

    def __init__(self, spectrum: Spectrum, dof: int) -> None:
        self._spectrum, self._dof = spectrum, dof
        self._scale = spectrum.largest or 1.0  # features without any direction: every t fits as well

    def largest(self) -> Float64:
        """Return the maximum of L over t (C,), in nats."""
        on_grid = self._on_grid()
        peaks, best = on_grid.max(axis=0), on_grid.argmax(axis=0)
        for k in np.unique(best):
            labels = np.flatnonzero(best == k)
            peaks[labels] = np.maximum(peaks[labels], self._between(int(k), labels))
        return np.asarray(peaks)

    def _on_grid(self) -> Float64:
        """Return L (grid, C), -inf where no class can have its largest."""
        last = len(GRID) - 1
        volume, fit = cache(lambda k: self._volume(GRID[k])), cache(lambda k: self._fit(GRID[k]))
        values = np.full((last + 1, len(fit(last))), -np.inf)
        spans = [(0, last)]
        for _ in range(last.bit_length() + 1):  # until each span is one step, and that step has been tried
            for _, high in spans:
                values[high] = volume(high) + fit(high)
            highest = values.max(axis=0)
            spans = [(low, high) for low, high in spans if np.any(volume(high) + fit(low) > highest)]
            spans = [half for span in spans for half in _halves(*span)]
        if spans and spans[0][0] == 0:
            values[0] = volume(0) + fit(0)
        return values

    def _between(self, k: int, labels: npt.NDArray[np.int64]) -> Float64:
        """Return the maximum of L of these classes between the neighbours of a grid point."""
        low, high = GRID[max(k - 1, 0)], GRID[min(k + 1, len(GRID) - 1)]
        nodes = chebyshev.chebpts1(NODES)
        log_t = (low + high) / 2 + (high - low) / 2 * nodes
        values = np.array([self._volume(s) + self._fit(s, labels) for s in log_t])
        peaks = _peaks(np.asarray(chebyshev.chebfit(nodes, values, NODES - 1), np.float64))
        places = (low + high) / 2 + (high - low) / 2 * peaks
        return np.array([self._volume(s) + self._fit(s, labels[i : i + 1])[0] for i, s in enumerate(places)])

    def _volume(self, log_t: float) -> float:
        return -0.5 * self._spectrum.log_determinant(self._scale * float(np.exp(log_t)))

    def _fit(self, log_t: float, labels: LabelIndex = ALL) -> Float64:
        unexplained = self._spectrum.unexplained(self._scale * float(np.exp(log_t)), labels)
        return -self._dof / 2 * np.log(unexplained / self._dof)


def _peaks(coefficients: Float64) -> Float64:
    """Return where in -1..1 each polynomial (NODES, C) is largest."""
    places = np.linspace(-1, 1, PLACES + 1)
    heights = chebyshev.chebval(places, coefficients)  # (C, places)
    k = np.clip(heights.argmax(axis=1), 1, PLACES - 1)
    before, middle, after = (np.take_along_axis(heights, k[:, None] + step, axis=1)[:, 0] for step in (-1, 0, 1))
    bend = np.minimum(before - 2 * middle + after, -np.finfo(float).tiny)
    return np.asarray(places[k] + np.clip((before - after) / bend / 2, -1, 1) * (places[1] - places[0]))


def _halves(low: int, high: int) -> list[tuple[int, int]]:
    middle = (low + high) // 2
    return [(low, middle), (middle, high)] if low < middle else [(low, high)]
