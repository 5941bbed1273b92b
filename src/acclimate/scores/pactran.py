"""PACTran: a bound on the loss of a finetuned classifier, as an optimum plus the price of its flatness.

Ding et al., "PACTran: PAC-Bayesian Metrics for Estimating the Transferability of Pretrained Models to Classification
Tasks" (ECCV 2022). Gaussian: section 3.4, equation 12 as in the authors' code (google-research/pactran_metrics): on
centred features,
    min_W [mean cross-entropy + |W|^2 / (2 l n)] + C d s^2 / (2 l n) ln(l n tr(H) / (C d)),
l = 1, s^2 = 100 / d, and tr(H) the trace of the second derivative of the summed cross-entropy and the penalty, offset
included. Dirichlet and Gamma, which need source predictions: section 3.2 and 3.3, see `pactran_source`.

The optimum is unique; it is found from W = 0 to convergence (the authors start at random and stop after 100 steps), by
L-BFGS on coordinates in which the curvature at W = 0 is round.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import scipy.linalg as sl  # type: ignore[import-untyped]  # scipy ships no types
import scipy.optimize  # type: ignore[import-untyped]  # scipy ships no types
import scipy.special  # type: ignore[import-untyped]  # scipy ships no types

from acclimate.scores.base import Float64
from acclimate.scores.prepared import Prepared
from acclimate.scores.spectrum import gram_of

PRIOR: Final = 100.0  # s^2 d
STEPS: Final = 300
SMALL: Final = 2**20  # numbers up to which products are in float64


def pactran(prepared: Prepared, *, weight: float = 1.0, prior: float = PRIOR) -> float:
    """Return the Gaussian bound in nats, at least 0 but for tiny curvature; SMALLER is better.

    Compare models on the same images only; the second term grows with C / n. The features are centred, but their
    scale matters: the prior of the weights has one width.

    Parameters
    ----------
    weight, prior
        l and s^2 d above; the authors try l in {0.1, 1, 10}.

    Cost: a Gram matrix and a Cholesky factor, then 20 to 100 evaluations of 4 n d C.

    Examples
    --------
    >>> from acclimate.scores.prepared import prepare
    >>> x = np.array([[0.0, 1.0], [0.0, 3.0], [9.0, 1.0], [9.0, 3.0]])
    >>> pactran(prepare(x, np.array([0, 0, 1, 1]))) < pactran(prepare(x, np.array([0, 1, 1, 0])))
    True
    """
    n, d, classes = prepared.n, prepared.d, len(prepared.counts)
    fit = _Fit(prepared, weight * n)
    found = scipy.optimize.minimize(
        fit.loss,
        np.zeros(fit.size),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": STEPS, "maxcor": 4, "ftol": fit.tolerance, "gtol": 1e-8},
    )
    curvature = fit.curvature(found.x) + classes * d / (weight * n)
    complexity = np.log(curvature * weight * n / (classes * d))
    return float(found.fun) + 0.5 * classes * prior / (weight * n) * float(complexity)


class _Fit:
    """The penalised cross-entropy as a function of U, W = L^-T U, with L L^T the curvature at W = 0."""

    def __init__(self, prepared: Prepared, strength: float) -> None:
        self.prepared, self.strength = prepared, strength
        self.classes, r = len(prepared.counts), prepared.rows.shape[1]
        self.size = (r + 1) * self.classes
        curvature = gram_of(prepared.rows, prepared.mean)
        curvature /= prepared.n * self.classes
        curvature.flat[:: r + 1] += 1 / strength
        factor = sl.cholesky(curvature, lower=True, overwrite_a=True, check_finite=False)
        small = prepared.rows.size <= SMALL
        self.tolerance = 1e-11 if small else 1e-7
        self.dtype = np.float64 if small else prepared.rows.dtype
        self.factor = np.asfortranarray(factor, dtype=self.dtype)
        self.mean = prepared.mean.astype(self.dtype)

    def loss(self, flat: Float64) -> tuple[float, Float64]:
        """Return the loss and its derivative."""
        weights, offset = self._weights(flat)
        value, slope = 0.0, np.zeros((len(weights), self.classes))
        slope_offset = np.zeros(self.classes)
        small = weights.astype(self.dtype)
        for block, labels in self._blocks():
            logits = (block @ small).astype(np.float64) + offset
            logits -= logits.max(axis=1, keepdims=True)
            own = np.arange(len(block)), labels
            value -= float(logits[own].sum())
            residual = np.exp(logits, out=logits)
            total = residual.sum(axis=1, keepdims=True)
            value += float(np.log(total).sum())
            residual /= total
            residual[own] -= 1
            slope += block.T @ residual.astype(self.dtype)
            slope_offset += residual.sum(axis=0)
        n = self.prepared.n
        value = value / n + 0.5 * float((weights**2).sum()) / self.strength
        slope = self._solve(slope / n + weights / self.strength, "N")
        return value, np.concatenate([slope.ravel(), slope_offset / n * self.classes**0.5])

    def curvature(self, flat: Float64) -> float:
        """Return the trace of the second derivative of the summed cross-entropy in weights and offset."""
        weights, offset = self._weights(flat)
        small, total = weights.astype(self.dtype), 0.0
        for block, _ in self._blocks():
            p = scipy.special.softmax((block @ small).astype(np.float64) + offset, axis=1)
            lengths = np.einsum("ij,ij->i", block, block, dtype=np.float64)
            total += float(((p - p**2).sum(axis=1) * (lengths + 1)).sum())
        return total

    def _weights(self, flat: Float64) -> tuple[Float64, Float64]:
        """Return W (r, C) and the offset (C,) of the coordinates."""
        u = flat[: -self.classes].reshape(-1, self.classes)
        return self._solve(u, "T"), flat[-self.classes :] * self.classes**0.5

    def _solve(self, right: Float64, transposed: str) -> Float64:
        right = right.astype(self.dtype)
        solved = sl.solve_triangular(self.factor, right, lower=True, trans=transposed, check_finite=False)
        return np.asarray(solved, np.float64)

    def _blocks(self) -> Any:
        rows = self.prepared.rows
        step = max(1, 2**18 // rows.shape[1])
        for start in range(0, len(rows), step):
            part = slice(start, min(start + step, len(rows)))
            yield rows[part].astype(self.dtype) - self.mean, self.prepared.labels[part]
