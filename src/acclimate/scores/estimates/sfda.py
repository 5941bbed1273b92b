"""SFDA: how surely a regularised Fisher discriminant tells the classes apart after the easy images are held back.

Shao et al., "Not All Models Are Equal: Predicting Model Transferability in a Self-challenging Fisher Space" (ECCV
2022). Within-class scatter S_w shrunk to (1 - l) S_w + l tr(S_w)/d I with l = exp(-5 s), s its
largest eigenvalue; class posteriors of the discriminant. The authors estimate s by six products with S_w, starting at
S_w 1, and every number published under the name has that estimate in it, so it is the default; `exact` takes the
eigenvalue itself. ConfMix: image x of class c becomes q x + (1 - q) m, m the mean of the other classes'
means and q the softmax of its posteriors at c; with the same l, the discriminant is fitted anew, and the score is the
mean posterior of the true class.

All discriminant directions are used, so the projection cancels: the weights are S_w^-1 times the class means, one
Cholesky factor. Nothing is written into x; the mixed images exist one block at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np
import scipy.linalg as sl  # type: ignore[import-untyped]  # scipy ships no types
import scipy.sparse.linalg  # type: ignore[import-untyped]  # scipy ships no types
import scipy.special  # type: ignore[import-untyped]  # scipy ships no types

from acclimate.scores.base import Float64
from acclimate.scores.estimates import cautions
from acclimate.scores.estimates.member import ANY, Estimate, between
from acclimate.scores.estimates.prepared import Prepared
from acclimate.scores.estimates.spectrum import gram_sum

SHARPNESS: Final = 5.0  # of the shrinkage exp(-5 s)
LEAST: Final = 1e-10  # shrinkage
POWER_STEPS: Final = 3  # of two products each


@dataclass(frozen=True, eq=False)
class Moved:
    """Features of which every image may be moved: q_i (x_i + a_c) + (1 - q_i) b_c, c its class."""

    prepared: Prepared
    shift: Float64  # a (C, r)
    trust: Float64 | None  # q (n,), in [0, 1]; None for 1
    towards: Float64  # b (C, r)

    def blocks(self) -> Iterator[tuple[slice, Float64]]:
        """Yield (slice, float64 rows less b of their class): all of them in order."""
        start = self.shift - self.towards
        for part, block in self.prepared.blocks():
            block += start[self.prepared.labels[part]]
            if self.trust is not None:
                block *= self.trust[part, None]
            yield part, block

    def means(self) -> Float64:
        """Return the class means (C, r)."""
        if self.trust is None:
            return self.prepared.means + self.shift
        counts = self.prepared.counts[:, None]
        share = np.bincount(self.prepared.labels, self.trust)[:, None] / counts
        mixed: Float64 = self.prepared.weighted_sums(self.trust) / counts
        return mixed + share * self.shift + (1 - share) * self.towards

    def scatter(self, means: Float64) -> Any:
        """Return the lower half of the within-class scatter (r, r), divided by n, as an array of its own."""
        if self.trust is None:  # a class that moves as a whole scatters as it did
            blocks, middle = self.prepared.blocks(), self.prepared.means
        else:
            blocks, middle = self.blocks(), means - self.towards
        parts = (block - middle[self.prepared.labels[part]] for part, block in blocks)
        return gram_sum(parts, means.shape[1]) / self.prepared.n


@dataclass(frozen=True, eq=False)
class Discriminant:
    """Linear class scores x @ weights + offset."""

    weights: Float64  # (r, C)
    offset: Float64  # (C,)
    shrinkage: float


def sfda(prepared: Prepared, *, exact: bool = False, shift: Float64 | None = None) -> float:
    """Return the mean posterior of the true class after ConfMix, in [0, 1]; larger is better.

    In-sample: 1 for any features when n <= d, near 1 when n is a few d. Not free of scale, as the shrinkage is not. A
    posterior is not a probability here: the same images were fitted.

    Parameters
    ----------
    exact
        Take the largest eigenvalue in the shrinkage instead of the authors' estimate of it; then a rotation of the
        features changes nothing.
    shift
        (C, r) moves of the classes before all else, in the coordinates of `Prepared.rows`; see `ped`.

    Cost: two Gram matrices, 2 n d^2, two Cholesky factors, and two passes of n d C.

    Examples
    --------
    >>> from acclimate.scores.estimates.prepared import prepare
    >>> x = np.array([[0.0, 1.0], [0.0, 3.0], [1.0, 1.0], [1.0, 3.0]])
    >>> apart, mixed = (sfda(prepare(x, np.array(y))) for y in ([0, 0, 1, 1], [0, 1, 1, 0]))
    >>> apart > mixed
    True
    """
    still = _still(prepared, shift)
    first = discriminant(still, exact=exact)
    trust = _own_class(still, first, twice=True)
    means = still.means()
    other_means = (means.sum(axis=0) - means) / (len(means) - 1)
    mixed = Moved(prepared, still.shift, trust, other_means)
    return float(_own_class(mixed, discriminant(mixed, shrinkage=first.shrinkage), twice=False).mean())


def lda_fisher(prepared: Prepared) -> float:
    """Return the mean posterior of the true class of the first discriminant, before ConfMix, in [0, 1].

    It is ETran's LDA score by its formula (Gholami et al., ICCV 2023), with directions normalised
    by S_w; see `etran.lda` for the number that its authors report. Remarks and cost as `sfda`, half of it.

    Examples
    --------
    >>> from acclimate.scores.estimates.prepared import prepare
    >>> x = np.array([[0.0, 1.0], [0.0, 3.0], [1.0, 1.0], [1.0, 3.0]])
    >>> lda_fisher(prepare(x, np.array([0, 0, 1, 1]))) > 0.5
    True
    """
    still = _still(prepared, None)
    return float(_own_class(still, discriminant(still, exact=True), twice=False).mean())


def discriminant(moved: Moved, *, exact: bool = False, shrinkage: float | None = None) -> Discriminant:
    """Fit the regularised discriminant; `shrinkage` is exp(-5 s) unless given."""
    means, n = moved.means(), moved.prepared.n
    scatter = moved.scatter(means)
    if shrinkage is None:
        s = largest(scatter) if exact else estimated_largest(scatter, _times_ones(moved.prepared))
        shrinkage = max(float(np.exp(-SHARPNESS * s)), LEAST)
    priors = moved.prepared.counts / n
    variance = float(np.trace(scatter)) / moved.prepared.d
    apart, shrinkage_now = float(((means - priors @ means) ** 2).sum()), shrinkage
    if variance <= 1e-14 * apart:  # no spread within classes: the limit of little
        variance, scatter, shrinkage_now = max(apart, 1.0), np.zeros_like(scatter), 1e-12
    scatter *= 1 - shrinkage_now
    scatter.flat[:: len(scatter) + 1] += shrinkage_now * variance
    factor = sl.cho_factor(scatter, lower=True, overwrite_a=True, check_finite=False)
    weights = sl.cho_solve(factor, means.T, check_finite=False)  # (r, C)
    offset = np.log(priors) - 0.5 * np.einsum("cr,rc->c", means, weights)
    return Discriminant(weights, offset, shrinkage)


def largest(scatter: Any) -> float:
    """Return the largest eigenvalue of a symmetric matrix of which the lower half is given, by Lanczos' method."""
    r = len(scatter)
    if r < 50:
        return float(sl.eigvalsh(scatter, lower=True)[-1])
    if not scatter.any():
        return 0.0

    def product(v: Float64) -> Float64:
        return np.asarray(sl.blas.dsymv(1.0, scatter, v.ravel(), lower=1))

    start = np.random.default_rng(0).normal(size=r)
    operator = scipy.sparse.linalg.LinearOperator((r, r), matvec=product, dtype=np.float64)
    return float(scipy.sparse.linalg.eigsh(operator, k=1, v0=start, return_eigenvectors=False, tol=1e-12)[0])


def estimated_largest(scatter: Any, start: Float64) -> float:
    """Return the estimate of the largest eigenvalue after six products with the matrix; its lower half is given."""
    x = y = start
    for _ in range(POWER_STEPS):
        y = sl.blas.dsymv(1.0, scatter, x, lower=1)
        if not np.linalg.norm(y) > 1e-12 * np.linalg.norm(x) * float(np.trace(scatter)):
            return largest(scatter)  # the start has no part in any direction, as of features that sum to one
        y = y / np.linalg.norm(y)
        x = sl.blas.dsymv(1.0, scatter, y, lower=1)
        x = x / np.linalg.norm(x)
    return float(x @ sl.blas.dsymv(1.0, scatter, y, lower=1))


def _times_ones(prepared: Prepared) -> Float64:
    """Return n S_w 1 (r,), 1 the vector of ones in the columns of x, in the coordinates of the rows."""
    total = prepared.x.sum(axis=1, dtype=np.float64)
    total -= (np.bincount(prepared.labels, total) / prepared.counts)[prepared.labels]
    return np.asarray(prepared.weighted_sums(total).sum(axis=0))


def _own_class(moved: Moved, fitted: Discriminant, *, twice: bool) -> Float64:
    """Return the posterior (n,) of each image's own class; `twice` takes a second softmax of the posteriors."""
    posteriors = np.empty(moved.prepared.n)
    offset = moved.towards @ fitted.weights + fitted.offset  # (C, C): blocks come less the point of their class
    for part, block in moved.blocks():
        label = moved.prepared.labels[part]
        p = scipy.special.softmax(block @ fitted.weights + offset[label], axis=1)
        p = scipy.special.softmax(p, axis=1) if twice else p
        posteriors[part] = p[np.arange(len(p)), label]
    return posteriors


def _still(prepared: Prepared, shift: Float64 | None) -> Moved:
    """Return the features as they are, but for the shift of the classes."""
    nothing = np.zeros_like(prepared.means)
    return Moved(prepared, nothing if shift is None else shift, None, nothing)


SFDA: Final = Estimate(
    sfda,
    "posterior of the true class of a Fisher discriminant, easy images held back",
    between(0, 1),
    ANY - {"rotation", "scale"},
    caution=cautions.saturated,
)
SFDA_EXACT: Final = replace(
    SFDA,
    function=partial(sfda, exact=True),
    meaning="SFDA with the exact largest eigenvalue in its shrinkage",
    promises=ANY - {"scale"},
)
LDA_FISHER: Final = replace(
    SFDA_EXACT,
    function=lda_fisher,
    meaning="posterior of the true class of a regularised Fisher discriminant (ETran's LDA by its formula)",
)
