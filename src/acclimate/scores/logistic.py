"""Multinomial logistic regression on standardised features, over a path of C chosen on validation.

The objective is scikit-learn's, C * sum of losses + |W|^2 / 2 with free intercepts, on features
standardised with the mean and the standard deviation of the training set. As there, two classes share one
weight vector w = w_1 - w_0, which is the softmax below with half of C.

C runs over 13 powers of ten, 1e-6 to 1e6, from strong to weak regularisation, each fit starting from the last. It
stops early when three in a row improved neither log loss nor accuracy on validation: what is left would overfit
more, at the highest cost. The C with the lowest validation log loss is taken (of equals the smallest). If it lies
on the edge of the grid this is reported: a better one may lie outside.

Cost: one float32 copy of the features, their covariance and its eigenvectors, then a few dozen products of
(n, d) by (d, C) for each C; see `softmax`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from acclimate.metrics import Labels
from acclimate.scores.base import (
    Features,
    Float32,
    Float64,
    blocks,
    check_features,
    check_fit,
    judge,
)
from acclimate.scores.softmax import Problem, solve, start

GRID: Final = tuple(10.0**power for power in range(-6, 7))
TOLERANCE: Final = 1e-7  # nats per image between the objective and its minimum
MAX_ITERATIONS: Final = 100
PATIENCE: Final = 3
# A column whose standard deviation is below this share of its mean is constant up to float32 rounding.
CONSTANT: Final = 1e-6


@dataclass(frozen=True, eq=False)
class Logistic:
    """Logistic regression with the C that validation chose."""

    mean: Float64  # (d,)
    weights: Float64  # (d, C), of the features minus the mean, not divided by anything
    bias: Float64  # (C,); -inf for a class that training never saw
    settings: dict[str, Any]
    name: str = "logistic"

    def predict_proba(self, x: Features) -> Float64:
        """Return class probabilities (m, C) of features (m, d)."""
        check_features(x, "features", width=len(self.mean))
        logits = np.empty((len(x), len(self.bias)))
        for rows in blocks(len(x), 8 * x.shape[1]):
            logits[rows] = (x[rows] - self.mean) @ self.weights + self.bias
        return softmax(logits)


@dataclass(frozen=True, eq=False)
class Axes:
    """Principal axes of the standardised training features; r = min(n, d) of them."""

    mean: Float64  # (d,)
    scale: Float64  # (d,), 1 / standard deviation; 0 for a constant column
    rotation: Float64  # (d, r), orthonormal columns

    def project(self, x: Features) -> Float32:
        """Return standardised features in principal axes, (m, r) float32."""
        result = np.empty((len(x), self.rotation.shape[1]), np.float32)
        rotation = self.rotation.astype(np.float32)
        for rows in blocks(len(x), 16 * x.shape[1]):
            result[rows] = _standardised(x[rows], self.mean, self.scale) @ rotation
        return result


@dataclass(frozen=True, eq=False)
class Solution:
    """One point of the path."""

    c: float
    weights: Float64  # (present classes, r + 1), in principal axes, intercepts last
    iterations: int
    converged: bool


def fit(x: Features, y: Labels, x_val: Features, y_val: Labels, *, n_classes: int, seed: int) -> Logistic:
    """Fit the path and keep the C with the lowest validation log loss; arguments as in `base.ScoreFit`.

    `seed` is unused: nothing here is random.

    Examples
    --------
    >>> x, y = np.array([[0.0, 1.0], [0.1, 1.0], [1.0, 0.0]]), np.array([0, 0, 1])
    >>> fitted = fit(x, y, x, y, n_classes=2, seed=0)
    >>> fitted.settings["C"], fitted.settings["at_edge"], fitted.predict_proba(x).argmax(axis=1)
    (1000000.0, True, array([0, 0, 1]))
    """
    check_fit(x, y, x_val, y_val, n_classes)
    axes, present = principal_axes(x), np.unique(y)
    held = axes.project(x_val)
    solutions, judged = [], []
    for solution in path(axes, x, np.searchsorted(present, y), GRID):
        solutions.append(solution)
        judged.append(judge(_predict(held, solution, present, n_classes), y_val))
        if _hopeless(judged):
            break
    best = solutions[int(np.argmin([loss for _, loss in judged]))]
    settings = {
        "C": best.c,
        "at_edge": best.c in (GRID[0], GRID[-1]),
        "iterations": best.iterations,
        "converged": best.converged,
        "path": [
            {"C": solution.c, "val_accuracy": accuracy, "val_log_loss": loss}
            for solution, (accuracy, loss) in zip(solutions, judged, strict=True)
        ],
    }
    return Logistic(axes.mean, *_unfold(axes, best, present, n_classes), settings)


def _hopeless(judged: list[tuple[float, float]]) -> bool:
    """Whether the last `PATIENCE` points (accuracy, log loss) bettered neither number of those before them."""
    before, after = judged[:-PATIENCE], judged[-PATIENCE:]
    if not before:
        return False
    accurate = max(accuracy for accuracy, _ in before) >= max(accuracy for accuracy, _ in after)
    return accurate and min(loss for _, loss in before) <= min(loss for _, loss in after)


def _predict(held: Float32, solution: Solution, present: Labels, n_classes: int) -> Float64:
    """Return probabilities (v, C) of validation features in principal axes."""
    p = np.zeros((len(held), n_classes))
    p[:, present] = softmax(held @ solution.weights[:, :-1].T + solution.weights[:, -1])
    return p


def path(
    axes: Axes,
    x: Features,
    y: Labels,
    grid: Sequence[float],
    *,
    tolerance: float = TOLERANCE,
    max_iterations: int = MAX_ITERATIONS,
) -> Iterator[Solution]:
    """Yield the solution for each C of an ascending grid; labels 0..K-1 must all occur."""
    z = axes.project(x)
    problem = Problem(z, y, int(y.max()) + 1, np.einsum("ij,ij->j", z, z, dtype=np.float64))
    state = start(problem)
    for c in grid:
        iterations, converged = solve(
            problem,
            state,
            c / 2 if problem.n_classes == 2 else c,
            tolerance=tolerance,
            max_iterations=max_iterations,
        )
        yield Solution(c, state.weights, iterations, converged)


def principal_axes(x: Features) -> Axes:
    """Return mean, scale and principal axes of features (n, d).

    Only orthonormal axes matter for the result; how well they are principal matters for speed alone, so the
    covariance is float32. With n < d the axes span the images: an orthonormal basis of them is rotated.
    """
    mean, scale = _moments(x)
    n, d = x.shape
    if n < d:
        basis, triangle = np.linalg.qr(_standardised(x, mean, scale).astype(np.float64).T)  # (d, n), (n, n)
        return Axes(mean, scale, basis @ np.linalg.eigh(triangle @ triangle.T)[1])
    covariance = np.zeros((d, d))
    for rows in blocks(n, 16 * d):
        part = _standardised(x[rows], mean, scale)
        covariance += part.T @ part
    return Axes(mean, scale, np.linalg.eigh(covariance)[1])


def _moments(x: Features) -> tuple[Float64, Float64]:
    """Return mean and 1 / standard deviation (population) of each column, 0 where it is constant."""
    mean = x.mean(axis=0, dtype=np.float64)
    square = np.zeros(x.shape[1])
    for rows in blocks(len(x), 16 * x.shape[1]):
        square += ((x[rows] - mean) ** 2).sum(axis=0)
    deviation = np.sqrt(square / len(x))
    varies = deviation > CONSTANT * np.abs(mean)
    return mean, np.divide(1, deviation, out=np.zeros_like(mean), where=varies)


def _standardised(x: Features, mean: Float64, scale: Float64) -> Float32:
    return ((x - mean) * scale).astype(np.float32)


def _unfold(axes: Axes, solution: Solution, present: Labels, n_classes: int) -> tuple[Float64, Float64]:
    """Return weights (d, C) of the centred features and intercepts (C,) of a solution in principal axes."""
    weights = np.zeros((len(axes.mean), n_classes))
    weights[:, present] = axes.scale[:, None] * (axes.rotation @ solution.weights[:, :-1].T)
    bias = np.full(n_classes, -np.inf)
    bias[present] = solution.weights[:, -1]
    return weights, bias


def softmax(logits: Float64) -> Float64:
    """Return exp(logits) with each row divided by its sum."""
    p: Float64 = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    return p
