"""The features that every estimate is computed from, checked once, with what the estimates share computed once.

A training-free estimate is a function of (x, y), and most of them begin alike: class means, a Gram matrix, its
spectrum. `prepare` checks the arrays; the rest is computed when the first member asks for it and kept.

With fewer images than columns (n < d) all n rows lie in an n-dimensional space, so an estimate that no rotation changes
is computed on the n coordinates in it: from X^T = Q R, X Q = R^T (`Prepared.rows`), exact to rounding, since no Gram
matrix squares the condition number. What depends on d itself (a mean variance, a prior) takes it from `Prepared.d`.

Memory besides x: blocks of 2 MB and matrices of min(n, d) squared. Nothing given is ever changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from acclimate.errors import DataError
from acclimate.scores.base import Features, Float64, blocks, check_features
from acclimate.scores.estimates.spectrum import Codes, Spectrum, spectrum_of

PASS_BYTES: Final = 2 * 2**20  # of one float64 block
SUM_TOLERANCE: Final = 1e-3  # of the rows of p: what float16 probabilities of a thousand classes miss


@dataclass(frozen=True, eq=False)
class Prepared:
    """Checked features; made by `prepare`, which says what they are."""

    x: Features  # (n, d), as given
    y: Codes | None  # (n,), classes 0..C-1 without a gap, whatever the labels were called
    p: Features | None  # (n, z)
    views: Features | None  # (m, q, d)
    seed: int

    @property
    def n(self) -> int:
        """The number of images."""
        return len(self.x)

    @property
    def d(self) -> int:
        """The number of feature dimensions."""
        return int(self.x.shape[1])

    @cached_property
    def labels(self) -> Codes:
        """The classes (n,), 0..C-1."""
        if self.y is None:
            raise DataError(
                "got features without labels; expected y (n,): label the images, or take a label-free score"
            )
        return self.y

    @cached_property
    def counts(self) -> Codes:
        """Images of each class (C,), all at least 1."""
        return np.bincount(self.labels)

    @cached_property
    def rows(self) -> Features:
        """The features x, or, when n < d, float64 coordinates (n, n) of x in the space of its rows."""
        return self.x if self.n >= self.d else _coordinates(self.x)

    @cached_property
    def sums(self) -> Float64:
        """Sums of the rows of each class (C, r)."""
        return self.weighted_sums(np.ones(self.n))

    @cached_property
    def means(self) -> Float64:
        """Means of the rows of each class (C, r)."""
        return self.sums / self.counts[:, None]

    @cached_property
    def mean(self) -> Float64:
        """Mean of the rows (r,)."""
        return np.asarray(self.rows.mean(axis=0, dtype=np.float64))

    def weighted_sums(self, weights: Float64) -> Float64:
        """Return the sums (C, r) of the rows of each class, row i counted weights[i] times."""
        total = np.zeros((len(self.counts), self.rows.shape[1]))
        members = np.split(np.argsort(self.labels, kind="stable"), np.cumsum(self.counts)[:-1])
        for label, own in enumerate(members):  # a gather and a product: a class at a time reads x once
            for part in blocks(len(own), 8 * total.shape[1], size=PASS_BYTES):
                total[label] += weights[own[part]] @ self.rows[own[part]].astype(np.float64)
        return total

    def blocks(self) -> Iterator[tuple[slice, Float64]]:
        """Yield (slice, float64 copy of these rows): all rows in order."""
        yield from float_blocks(self.rows)

    def indicators(self, *, centred: bool) -> Float64:
        """Return X^T Y (r, C) of the one-hot classes Y, of the rows less their mean if `centred`."""
        return (self.sums - self.counts[:, None] * self.mean if centred else self.sums).T

    @cached_property
    def uncentred(self) -> Spectrum:
        """The spectrum of the rows as they are."""
        return self._spectrum(None)

    @cached_property
    def centred(self) -> Spectrum:
        """The spectrum of the rows less their mean."""
        return self._spectrum(self.mean)

    def _spectrum(self, mean: Float64 | None) -> Spectrum:
        if self.y is None:  # one class of all, so that label-free estimates have their values
            total = self.rows.sum(axis=0, dtype=np.float64)[:, None] if mean is None else np.zeros((len(self.mean), 1))
            return spectrum_of(self.rows, mean, total, np.zeros(self.n, np.int64))
        return spectrum_of(self.rows, mean, self.indicators(centred=mean is not None), self.labels)

    def forget(self, name: str) -> None:
        """Drop a cached spectrum, ``uncentred`` or ``centred``, and its memory."""
        self.__dict__.pop(name, None)


def prepare(
    x: Features,
    y: npt.NDArray[np.integer[Any]] | None = None,
    *,
    p: Features | None = None,
    views: Features | None = None,
    seed: int = 0,
) -> Prepared:
    """Check features and labels for `ESTIMATES`.

    Raises `DataError`: shapes that do not match, or a value that is not finite (with the index of its row).

    Parameters
    ----------
    x : (n, d) floats
        Features, finite; n < d is fine. Never changed.
    y : (n,) integers
        Labels: any numbers, one for each class; at least two classes. None for label-free estimates.
    p : (n, z) floats
        Probabilities that the source model's own classifier gives its z classes; rows sum to 1.
    views : (m, q, d) floats
        Features of q >= 2 augmented views of each of m images, for `lidar`.
    seed : int
        For members that draw random numbers.

    Examples
    --------
    >>> prepared = prepare(np.eye(4), np.array([7, 7, 9, 9]))
    >>> prepared.n, prepared.d, prepared.labels.tolist(), prepared.counts.tolist()
    (4, 4, [0, 0, 1, 1], [2, 2])
    """
    check_features(x, "features")
    if p is not None:
        _check_predictions(p, len(x))
    if views is not None:
        if views.ndim != 3 or views.shape[1] < 2:
            raise DataError(f"views have shape {views.shape}; expected (m, q, d) with q of at least 2")
        check_features(views.reshape(-1, views.shape[2]), "views")
    return Prepared(x, None if y is None else _coded(y, len(x)), p, views, seed)


def float_blocks(x: Features) -> Iterator[tuple[slice, Float64]]:
    """Yield (slice, float64 copy of these rows of x) in order, about `PASS_BYTES` each."""
    for part in blocks(len(x), 8 * x.shape[1], size=PASS_BYTES):
        yield part, x[part].astype(np.float64)


def moments_of(x: Features) -> tuple[Float64, Float64]:
    """Return mean and standard deviation of each column (d,)."""
    mean = x.mean(axis=0, dtype=np.float64)
    squares = sum((((block - mean) ** 2).sum(axis=0) for _, block in float_blocks(x)), np.zeros(len(mean)))
    return mean, np.sqrt(squares / len(x))


def columns_of(x: Features) -> tuple[Float64, Float64]:
    """Return `moments_of` with a deviation of infinity for a constant column, which says nothing."""
    mean, deviation = moments_of(x)
    deviation[deviation <= 10 * np.finfo(x.dtype).eps * np.abs(mean)] = np.inf
    return mean, deviation


def _coded(y: npt.NDArray[np.integer[Any]], n: int) -> Codes:
    if y.shape != (n,):
        raise DataError(f"labels have shape {y.shape}; expected ({n},), one per row of the features")
    if not np.issubdtype(y.dtype, np.integer):
        raise DataError(f"labels have type {y.dtype}; expected integers")
    names, codes = np.unique(y, return_inverse=True)
    if len(names) < 2:
        raise DataError(f"all {n} labels are class {names[0]}; expected two classes or more: label images of another")
    return np.asarray(codes, np.int64)


def _check_predictions(p: Features, n: int) -> None:
    check_features(p, "source predictions")
    if len(p) != n:
        raise DataError(f"source predictions have shape {p.shape}; expected ({n}, z), one row per row of the features")
    bad = (p < 0).any(axis=1) | (np.abs(p.sum(axis=1, dtype=np.float64) - 1) > SUM_TOLERANCE)
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError(
            f"row {row} of the source predictions sums to {p[row].sum():.4g} with a least value of {p[row].min():.4g}; "
            "expected probabilities that sum to 1: apply a softmax to logits"
        )


def _coordinates(x: Features) -> Float64:
    """Return R^T (n, n) of X^T = Q R, taking in about n columns of x at a time."""
    n = len(x)
    stack: Any = np.zeros((0, n))
    for start in range(0, x.shape[1], n):
        stack = np.linalg.qr(np.concatenate([stack, x[:, start : start + n].T.astype(np.float64)]), mode="r")
    return np.ascontiguousarray(stack.T)
