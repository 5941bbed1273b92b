"""PACTran: a bound on the loss of a finetuned classifier, as an optimum plus the price of its flatness.

Ding et al., "PACTran: PAC-Bayesian Metrics for Estimating the Transferability of Pretrained Models to Classification
Tasks" (ECCV 2022). Gaussian: as in the authors' code (google-research/pactran_metrics): on centred features,
    min_W [mean cross-entropy + |W|^2 / (2 l n)] + C d s^2 / (2 l n) ln(l n tr(H) / (C d)),
l = 1, s^2 = 100 / d, and tr(H) the trace of the second derivative of the summed cross-entropy and the penalty, offset
included. Dirichlet and Gamma, which need source predictions: see `pactran_source`.

The optimum is unique; it is found from W = 0 to convergence (the authors start at random and stop after 100 steps), by
L-BFGS on coordinates in which the curvature is about round: a few steps in those of W = 0, the rest in those of the
point they lead to, where most images are certain and the penalty weighs more. That halves the steps. Features that tell
all images apart at a large scale have a loss of 1e-5, whose digits count, since the flatness falls with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import scipy.linalg as sl  # type: ignore[import-untyped]  # scipy ships no types
import scipy.special  # type: ignore[import-untyped]  # scipy ships no types

from acclimate.scores.base import Features, Float64, blocks
from acclimate.scores.estimates import cautions
from acclimate.scores.estimates.member import ANY, Estimate, Extent
from acclimate.scores.estimates.prepared import Prepared
from acclimate.scores.estimates.spectrum import Codes, gram_of

PRIOR: Final = 100.0  # s^2 d
FIRST: Final = 3  # steps with the curvature at W = 0
STEPS: Final = 300  # at most, after them
FALL: Final = 0.1  # a loss that fell below this share was measured too coarsely on the way: on from there, in its units
SMALL: Final = 2**20  # numbers up to which products are in float64
BLOCK: Final = 2**20  # numbers
NEGLIGIBLE: Final = 1e-30  # probabilities below are 0: float32 has only slow denormal numbers for the least of them


def pactran(prepared: Prepared, *, weight: float = 1.0, prior: float = PRIOR) -> float:
    """Return the Gaussian bound in nats, at least 0 but for tiny curvature; SMALLER is better.

    Compare models on the same images only; the second term grows with C / n. The features are centred, but their
    scale matters: the prior of the weights has one width.

    `weight` and `prior` are l and s^2 d above; the authors try l in {0.1, 1, 10}.

    Cost: a Gram matrix and a Cholesky factor, then 20 to 60 evaluations of 4 n d C.

    Examples
    --------
    >>> from acclimate.scores.estimates.prepared import prepare
    >>> x = np.array([[0.0, 1.0], [0.0, 3.0], [9.0, 1.0], [9.0, 3.0]])
    >>> pactran(prepare(x, np.array([0, 0, 1, 1]))) < pactran(prepare(x, np.array([0, 1, 1, 0])))
    True
    """
    n, d, classes = prepared.n, prepared.d, len(prepared.counts)
    fit = _Fit(prepared, weight * n)
    flat, loss = fit.minimised(np.zeros(fit.size), FIRST, float(np.log(classes)))
    unit = np.inf
    while loss < FALL * unit:
        unit = loss
        flat, loss = fit.minimised(fit.rounded(flat), STEPS, unit)
    curvature = fit.curvature(flat) + classes * d / (weight * n)
    complexity = np.log(curvature * weight * n / (classes * d))
    return loss + 0.5 * classes * prior / (weight * n) * float(complexity)


class _Fit:
    """The penalised cross-entropy as a function of U, W = L^-T U.

    L L^T = m S + I / (l n), with S the covariance of the features and m the mean of p (1 - p) over images and classes:
    the curvature if all images and classes had the same. At W = 0 m is 1 / C.
    """

    def __init__(self, prepared: Prepared, strength: float) -> None:
        self.prepared, self.strength = prepared, strength
        self.classes, r = len(prepared.counts), prepared.rows.shape[1]
        self.size = (r + 1) * self.classes
        small = prepared.rows.size <= SMALL
        self.tolerance = 1e-13 if small else 1e-8
        self.dtype = np.float64 if small else prepared.rows.dtype
        self.mean = prepared.mean.astype(self.dtype)
        covariance = gram_of(prepared.rows, prepared.mean)
        covariance /= prepared.n
        self.variances = covariance.diagonal().copy()
        self.halves = np.asfortranarray(covariance, dtype=self.dtype)  # S below the diagonal, L^T from it upwards
        self.spread = 1 / self.classes
        self._factorise(covariance, self.spread)

    def _factorise(self, covariance: Any, spread: float) -> None:
        """Take the coordinates of m = spread, computed in the place of a covariance (lower half, Fortran order)."""
        covariance *= spread
        covariance.flat[:: len(covariance) + 1] += 1 / self.strength
        factor, failed = sl.lapack.dpotrf(covariance, lower=1, clean=0, overwrite_a=1)
        if failed:  # S was rounded and its scale is large: the coordinates stay as they are, which costs steps alone
            return
        self.spread = spread
        for j in range(len(factor)):
            self.halves[j, j:] = factor[j:, j]

    def minimised(self, flat: Float64, steps: int, unit: float) -> tuple[Float64, float]:
        """Return the coordinates that so many steps lead to from these, and the loss there; tolerances are in units."""
        from scipy.optimize import minimize  # type: ignore[import-untyped]  # a slow import, needed only here

        def scaled(flat: Float64) -> tuple[float, Float64]:
            value, slope = self.loss(flat)
            return value / unit, slope / unit

        options = {"maxiter": steps, "maxcor": 4, "ftol": self.tolerance, "gtol": 1e-11}
        result = minimize(scaled, flat, jac=True, method="L-BFGS-B", options=options)
        return result.x, float(result.fun) * unit

    def rounded(self, flat: Float64) -> Float64:
        """Change to coordinates in which the curvature at this point is round; return it in them."""
        weights, offset = self._weights(flat)
        total = sum(float(spread.sum()) for _, spread in self._spreads(weights, offset))
        covariance = self.halves.astype(np.float64)
        covariance.flat[:: len(covariance) + 1] = self.variances
        # Never below a tenth of an image: certain classes still have a scale.
        self._factorise(covariance, max(total / self.classes, 0.1) / self.prepared.n)
        turned = sl.get_blas_funcs("trmm", (self.halves,))(1.0, self.halves, weights)
        return np.concatenate([turned.ravel(), offset * self.spread**0.5])

    def loss(self, flat: Float64) -> tuple[float, Float64]:
        """Return the loss and its derivative."""
        weights, offset = self._weights(flat)
        value, slope = 0.0, np.zeros((len(weights), self.classes))
        slope_offset = np.zeros(self.classes)
        for block, labels, logits in self._logits(weights, offset):
            logits -= logits.max(axis=1, keepdims=True)
            true = np.arange(len(block)), labels
            value -= float(logits[true].sum())
            residual = np.exp(logits, out=logits)
            total = residual.sum(axis=1, keepdims=True)
            value += float(np.log(total).sum())
            residual /= total
            residual[residual < NEGLIGIBLE] = 0
            residual[true] -= 1
            slope += block.T @ residual.astype(self.dtype)
            slope_offset += residual.sum(axis=0)
        n = self.prepared.n
        value = value / n + 0.5 * float((weights**2).sum()) / self.strength
        slope = self._solve(slope / n + weights / self.strength, "T")
        return value, np.concatenate([slope.ravel(), slope_offset / n / self.spread**0.5])

    def curvature(self, flat: Float64) -> float:
        """Return the trace of the second derivative of the summed cross-entropy in weights and offset."""
        total = 0.0
        for block, spread in self._spreads(*self._weights(flat)):
            lengths = np.einsum("ij,ij->i", block, block, dtype=np.float64)
            total += float((spread * (lengths + 1)).sum())
        return total

    def _spreads(self, weights: Float64, offset: Float64) -> Iterator[tuple[Features, Float64]]:
        """Yield (centred rows (b, r), sums over classes of p (1 - p) (b,))."""
        for block, _, logits in self._logits(weights, offset):
            p = scipy.special.softmax(logits, axis=1)
            yield block, (p - p**2).sum(axis=1)

    def _weights(self, flat: Float64) -> tuple[Float64, Float64]:
        """Return W (r, C) and the offset (C,) of the coordinates."""
        u = flat[: -self.classes].reshape(-1, self.classes)
        return self._solve(u, "N"), flat[-self.classes :] / self.spread**0.5

    def _solve(self, right: Float64, transposed: str) -> Float64:
        right = right.astype(self.dtype)
        solved = sl.solve_triangular(self.halves, right, lower=False, trans=transposed, check_finite=False)
        return np.asarray(solved, np.float64)

    def _logits(self, weights: Float64, offset: Float64) -> Iterator[tuple[Features, Codes, Float64]]:
        """Yield (centred rows (b, r), their classes, logits (b, C))."""
        rows, small = self.prepared.rows, weights.astype(self.dtype)
        for part in blocks(len(rows), rows.shape[1], size=BLOCK):
            block: Features = np.subtract(rows[part], self.mean, dtype=self.dtype)
            yield block, self.prepared.labels[part], (block @ small).astype(np.float64) + offset


PACTRAN: Final = Estimate(
    pactran,
    "bound on the loss of a finetuned classifier, Gaussian prior, in nats",
    Extent("any number, mostly above 0"),
    ANY - {"scale"},
    better="smaller",
    caution=cautions.wide_noise,
)
