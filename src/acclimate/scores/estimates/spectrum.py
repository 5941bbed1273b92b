"""The spectrum of (n, r) features: what LogME, H-score, RankMe, PCA and their like are functions of.

X = U S V^T with the squared singular values in `values` and the one-hot classes Y seen through it in `targets` = U^T Y.

Two ways. A small matrix (up to 2**20 numbers) gets a singular value decomposition in float64. A larger one gets its
Gram matrix, reduced once to a tridiagonal T = Q^T X^T X Q (LAPACK sytrd; Golub & Van Loan 2013): values,
solves and a few vectors then cost O(r^2) instead of the r^3 of a full decomposition. The price is that a Gram matrix
squares the condition number: singular values below about 1e-8 sqrt(r) of the largest are taken for zero there.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import scipy.linalg as sl  # type: ignore[import-untyped]  # scipy ships no types

from acclimate.scores.base import Features, Float64, blocks

Codes = npt.NDArray[np.int64]
LabelIndex = slice | Codes

ALL: Final = slice(None)
SMALL: Final = 2**20  # numbers in a matrix that gets a full decomposition
PANEL: Final = 256
PIVOTS: Final = 1e4  # times the largest value that is taken for rounding: from this t on, a pivot needs no eigenvalue
GRAM_BYTES: Final = 2 * 2**20  # of one float64 block of a Gram matrix


class Decomposed:
    """A singular value decomposition of all of it."""

    def __init__(self, rows: Features, mean: Float64 | None, labels: Codes) -> None:
        x = rows.astype(np.float64)
        y = np.eye(int(labels.max()) + 1)[labels]
        if mean is not None:
            x -= mean
            y -= y.mean(axis=0)
        u, s, self._right = np.linalg.svd(x, full_matrices=False)
        s[s <= max(x.shape) * np.finfo(float).eps * s[0]] = 0
        self.values: Float64 = s**2  # (min(n, r),), largest first; exactly 0 where rounding is all there is
        rank = int(np.count_nonzero(s))
        self.targets: Float64 = u[:, :rank].T @ y  # U^T Y (rank, C)
        # What no combination of columns can reach; computed as a difference of vectors, not of their lengths.
        self._out_of_reach: Float64 = ((y - u[:, :rank] @ self.targets) ** 2).sum(axis=0)
        if rank == len(x):
            self._out_of_reach[:] = 0
        self._squares: Float64 = self.targets**2

    def vectors(self, k: int) -> Float64:
        """Return the first k right singular vectors (r, k); k is at most the rank."""
        return self._right[:k].T

    @property
    def largest(self) -> float:
        """The largest squared singular value."""
        return float(self.values[0])

    def unexplained(self, t: float, labels: LabelIndex = ALL) -> Float64:
        """Return t y^T (X X^T + t I)^-1 y, t > 0, for the one-hot (centred) targets of these classes (C,)."""
        # A sum of positive terms, so exact for any t
        shares = t / (self.values[: len(self._squares)] + t)
        return self._out_of_reach[labels] + shares @ self._squares[:, labels]

    def log_determinant(self, t: float) -> float:
        """Return ln |I + X X^T / t|, t > 0: over the squared singular values s, the sum of ln(1 + s / t)."""
        return float(np.log1p(self.values / t).sum())


class Tridiagonal:
    """A Gram matrix reduced to tridiagonal form: X^T X, or X X^T when there are no more rows than columns.

    The second is not only as small: `unexplained` is then one positive term, where the first takes a difference, which
    loses its digits when a fit is perfect, as it is in so many dimensions.
    """

    def __init__(
        self, rows: Features, mean: Float64 | None, indicators: Float64, labels: Codes, scale: Float64 | None = None
    ) -> None:
        self._dual = rows.shape[0] <= rows.shape[1]
        self._squares, targets = _squares(labels, mean is not None), indicators
        if self._dual:
            self._x = rows - mean if mean is not None else rows.astype(np.float64)
            targets = np.eye(len(self._squares))[labels]  # Y (n, C)
            targets -= targets.mean(axis=0) if mean is not None else 0
        gram = gram_of(np.ascontiguousarray(self._x.T), None) if self._dual else gram_of(rows, mean)
        if scale is not None:
            gram /= scale
            gram /= scale[:, None]
        self._reflectors, self._diagonal, self._off, self._tau, _ = sl.lapack.dsytrd(
            gram, lower=1, lwork=64 * len(gram), overwrite_a=1
        )
        self._rotated = self._turn(targets, "T")

    @cached_property
    def values(self) -> Float64:
        """Squared singular values, largest first."""
        values = sl.eigh_tridiagonal(self._diagonal, self._off, eigvals_only=True, lapack_driver="sterf")[::-1]
        return _without_rounding(values)

    @cached_property
    def targets(self) -> Float64:
        """U^T Y (rank, C); of X^T X it is S^-1 V^T X^T Y."""
        values, vectors = sl.eigh_tridiagonal(self._diagonal, self._off, lapack_driver="stemr")
        rank = int(np.count_nonzero(_without_rounding(values[::-1])))
        projected: Float64 = (vectors.T @ self._rotated)[::-1][:rank]
        return projected if self._dual else projected / np.sqrt(values[::-1][:rank, None])

    def vectors(self, k: int) -> Float64:
        """Return the first k right singular vectors (r, k)."""
        r = len(self._diagonal)
        driver = "stebz" if k <= r // 4 else "stemr"  # few by bisection, many at once (in r x r numbers)
        values, vectors = sl.eigh_tridiagonal(
            self._diagonal, self._off, select="i", select_range=(r - k, r - 1), lapack_driver=driver
        )
        turned = self._turn(vectors[:, ::-1], "N")
        return self._x.T @ turned / np.sqrt(values[::-1]) if self._dual else turned

    @cached_property
    def largest(self) -> float:
        """The largest squared singular value: one eigenvalue by bisection, a few per cent of the cost of all."""
        last = len(self._diagonal) - 1
        values = sl.eigh_tridiagonal(
            self._diagonal, self._off, eigvals_only=True, select="i", select_range=(last, last), lapack_driver="stebz"
        )
        return max(float(values[0]), 0.0)

    def unexplained(self, t: float, labels: LabelIndex = ALL) -> Float64:
        """Return t y^T (X X^T + t I)^-1 y (C,) by one tridiagonal factor, O(r C)."""
        b, whole = self._rotated[:, labels], self._squares[labels]
        *_, solved, failed = sl.lapack.dptsv(self._diagonal + t, self._off, b)
        if failed:  # t is below the rounding of T: take the nearest t that is not
            return self.unexplained(2 * t + np.finfo(float).eps * float(np.abs(self._diagonal).max()), labels)
        explained = np.einsum("rc,rc->c", b, solved)
        if self._dual:
            return np.asarray(t * explained)
        return np.asarray(np.maximum(whole - explained, np.finfo(float).eps * whole))

    def log_determinant(self, t: float) -> float:
        """Return ln |I + X X^T / t|: of the pivots of T + t I, or of the values where rounding would be seen in it."""
        if t < PIVOTS * len(self._diagonal) * np.finfo(float).eps * self.largest:
            return float(np.log1p(self.values / t).sum())
        pivots, _, _ = sl.lapack.dpttrf(self._diagonal + t, self._off)
        return float(np.log(pivots / t).sum())

    def _turn(self, columns: Float64, transposed: str) -> Float64:
        """Return Q^T (``T``) or Q (``N``) times columns: the reflectors of sytrd are those of a QR one row down."""
        turned = np.array(columns, order="F")
        starts = range(0, len(self._tau), PANEL)  # so many reflectors at a time: LAPACK gets a copy of them
        for start in starts if transposed == "T" else reversed(starts):
            tau = self._tau[start : start + PANEL]
            below = self._reflectors[start + 1 :, start : start + len(tau)]
            turned[start + 1 :] = sl.lapack.dormqr(
                "L", transposed, below, tau, turned[start + 1 :], 64 * turned.shape[1]
            )[0]
        return turned


Spectrum = Decomposed | Tridiagonal


def spectrum_of(
    rows: Features, mean: Float64 | None, indicators: Float64, labels: Codes, scale: Float64 | None = None
) -> Spectrum:
    """Return the spectrum of rows (n, r).

    They are taken less `mean` (r,) and over `scale` (r,) if given (that needs n > r); `indicators` is X^T Y (r, C) of
    the same.
    """
    if scale is None and rows.size <= SMALL:
        return Decomposed(rows, mean, labels)
    return Tridiagonal(rows, mean, indicators, labels, scale)


def _squares(labels: Codes, centred: bool) -> Float64:
    """Return y^T y (C,) of the one-hot target of each class."""
    counts = np.bincount(labels).astype(np.float64)
    return counts - counts**2 / len(labels) if centred else counts


def gram_of(rows: Features, mean: Float64 | None) -> Any:
    """Return the lower half of X^T X (r, r) in float64, in Fortran order, of rows less `mean` (r,) if given."""
    parts = (rows[part].astype(np.float64) for part in blocks(len(rows), 8 * rows.shape[1], size=GRAM_BYTES))
    return gram_sum(parts if mean is None else (np.subtract(part, mean, out=part) for part in parts), rows.shape[1])


def gram_sum(parts: Iterable[Float64], r: int) -> Any:
    """Return the lower half of the sum (r, r) of part^T part, in Fortran order."""
    gram = np.zeros((r, r), order="F")
    for part in parts:
        gram = sl.blas.dsyrk(1.0, part.T, beta=1.0, c=gram, overwrite_c=1, lower=1)
    return gram


def _without_rounding(values: Float64) -> Float64:
    """Return squared singular values with those that are rounding of the Gram matrix set to 0."""
    cut = len(values) * np.finfo(float).eps * max(float(values[0]), 0.0)
    return np.where(values > cut, values, 0.0)
