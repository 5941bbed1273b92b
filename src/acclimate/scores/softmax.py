"""The solver behind `logistic`: multinomial logistic regression for one C after another, fast.

For centred features z (n, r), one-hot labels Y (K, n), weights A (K, r) and intercepts b (K), it minimises

    F(A, b) = C * sum_i -ln softmax(A z_i + b)[y_i] + |A|^2 / 2,

which is scikit-learn's objective. Three things make it fast:

- *Coordinates.* The Hessian is close to C M (x) Z'Z + I, with M (K, K) the mean of diag(p) - p p' over the images:
  exact where p does not depend on the image. In the principal axes of the features Z'Z is diagonal (`eigenvalues`), in
  the eigenvectors of M the classes are, so it is inverted at no cost. L-BFGS (Nocedal & Wright 2006)
  starts from this inverse instead of a multiple of the identity.
- *Products.* Logits are linear along a search direction, so each iteration costs one product forward (of the
  direction) and one back (the gradient); the line search between them only adds and exponentiates.
- *Memory.* The pairs L-BFGS remembers are kept without the ridge and without C, so that they stay true for
  the next C,
  which starts at the last solution.

Products and exponentials have the type of Z, sums over images and everything of the size of A are float64.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from acclimate.metrics import Labels
from acclimate.scores.base import Features, Float64

MEMORY: Final = 10
ARMIJO: Final = 1e-4
CURVATURE: Final = 0.9
TRIALS: Final = 25
# Rounding noise of the mean loss, in nats: a step that is worse by less than this is not refused.
NOISE: Final = {"float32": 1e-8, "float64": 1e-15}

Pair = tuple[Float64, Float64]


@dataclass(frozen=True, eq=False)
class Problem:
    """The data of the regression, in principal axes."""

    z: Features  # (n, r), each column with mean 0; its type is that of the products
    y: Labels  # (n,) in [0, K), every class occurs
    n_classes: int  # K
    eigenvalues: Float64  # (r,), diagonal of z.T @ z


@dataclass(eq=False)
class State:
    """Where the solver stands; `solve` moves it from the solution for one C to that for the next.

    `weights` is (K, r + 1), intercepts in the last column; `pairs` holds the steps and the changes of the
    gradient of the plain sum of losses that L-BFGS remembers.
    """

    weights: Float64
    pairs: deque[Pair] = field(default_factory=lambda: deque(maxlen=MEMORY))

    def copy(self) -> State:
        """Return a state that moves on its own; the arrays are never changed in place."""
        return State(self.weights, self.pairs.copy())


@dataclass(frozen=True, eq=False)
class Preconditioner:
    """An approximate inverse of the Hessian, diagonal in the eigenvectors of the classes and of the features."""

    classes: Float64  # (K, K), orthonormal columns
    inverse: Float64  # (K, r + 1)

    def apply(self, gradient: Float64) -> Float64:
        """Return the inverse Hessian times a gradient (K, r + 1)."""
        result: Float64 = self.classes @ (self.inverse * (self.classes.T @ gradient))
        return result


def start(problem: Problem) -> State:
    """Return the solution for C = 0: no weights, and intercepts that reproduce the class frequencies."""
    weights = np.zeros((problem.n_classes, problem.z.shape[1] + 1))
    weights[:, -1] = np.log(np.bincount(problem.y, minlength=problem.n_classes) / len(problem.y))
    weights[:, -1] -= weights[:, -1].mean()
    return State(weights)


def solve(problem: Problem, state: State, c: float, *, tolerance: float, max_iterations: int) -> tuple[int, bool]:
    """Move `state` to the minimum for this C; return the number of iterations and whether it got there.

    It stops when F is estimated to be within `tolerance` nats per image (times C) of its minimum, from the
    decrement g' H^-1 g / 2 in which H is both the start and the L-BFGS estimate.
    """
    logits = forward(problem, state.weights)
    loss, residual = losses(logits, problem.y)
    enough = 2 * tolerance * c * len(problem.y)
    inverse = precondition(problem, residual, c)
    data = backward(problem, residual)
    for iteration in range(max_iterations):
        gradient = c * data + _ridge(state.weights)
        direction = -_two_loop(gradient, state.pairs, inverse, c)
        slope = _dot(gradient, direction)
        if max(-slope, _dot(gradient, inverse.apply(gradient))) <= enough:
            return iteration, True
        found = _search(problem, state.weights, logits, direction, (loss, slope), c)
        if found is None:
            return iteration, False
        step, loss, residual = found
        change = step * direction
        before, data = data, backward(problem, residual)
        state.weights = state.weights + change
        state.pairs.append((change, data - before))
    return max_iterations, False


def forward(problem: Problem, weights: Float64) -> Features:
    """Return logits (K, n). Classes first: sums over few classes are then sums of long rows."""
    narrow = weights.astype(problem.z.dtype, copy=False)
    logits: Features = narrow[:, :-1] @ problem.z.T
    logits += narrow[:, -1:]
    return logits


def backward(problem: Problem, residual: Features) -> Float64:
    """Return the gradient (K, r + 1) of the sum of losses from the residuals P - Y (K, n)."""
    gradient = np.empty((problem.n_classes, problem.z.shape[1] + 1))
    gradient[:, :-1] = residual @ problem.z
    gradient[:, -1] = residual.sum(axis=1, dtype=np.float64)
    return gradient


def losses(logits: Features, y: Labels) -> tuple[float, Features]:
    """Return the sum of losses and the residuals P - Y (K, n) of logits (K, n)."""
    images = np.arange(len(y))
    residual = logits - logits.max(axis=0)
    true = residual[y, images].astype(np.float64)
    np.exp(residual, out=residual)
    total = residual.sum(axis=0)
    loss = float((np.log(total, dtype=np.float64) - true).sum())
    residual /= total
    residual[y, images] -= 1
    return loss, residual


def _search(
    problem: Problem,
    weights: Float64,
    logits: Features,
    direction: Float64,
    at_zero: tuple[float, float],
    c: float,
) -> tuple[float, float, Features] | None:
    """Find a step with the Wolfe conditions; add it to `logits` in place and return (step, loss, residual).

    `at_zero` is the sum of losses and the slope of F at step 0. None: rounding leaves nothing to gain.
    """
    along = forward(problem, direction)
    loss0, slope0 = at_zero
    linear = _dot(_ridge(weights), direction)
    square = _dot(_ridge(direction), direction)
    slack = c * NOISE[logits.dtype.name] * len(problem.y)
    low, high, step = 0.0, np.inf, 1.0
    for _ in range(TRIALS):
        moved = logits + logits.dtype.type(step) * along
        loss, residual = losses(moved, problem.y)
        rise = c * (loss - loss0) + step * linear + step**2 * square / 2
        slope = c * _dot(residual, along) + linear + step * square
        if rise > ARMIJO * step * slope0 + slack:
            high = step
        elif slope < CURVATURE * slope0:
            low = step
        else:
            logits[:] = moved
            return step, loss, residual
        # F is convex along the line: where the secant of the slopes vanishes, kept inside the bracket.
        guess = step * slope0 / (slope0 - slope) if slope > slope0 else np.inf
        upper = low + 0.9 * (high - low) if np.isfinite(high) else 4 * step
        step = float(np.clip(guess, low + 0.1 * (upper - low), upper))
    return None


def _two_loop(gradient: Float64, pairs: deque[Pair], inverse: Preconditioner, c: float) -> Float64:
    """Return the L-BFGS estimate of H^-1 gradient, starting from `inverse`."""
    result = gradient.copy()
    used = []
    for step, change in reversed(pairs):
        full = c * change + _ridge(step)
        curvature = _dot(step, full)
        if curvature > 0:
            share = _dot(step, result) / curvature
            result -= share * full
            used.append((step, full, curvature, share))
    # As usual the newest pair sets the scale of the start, which matters where certain images have little curvature.
    if used:
        step, full, curvature, _ = used[0]
        result *= curvature / _dot(full, inverse.apply(full))
    result = inverse.apply(result)
    for step, full, curvature, share in reversed(used):
        result += (share - _dot(full, result) / curvature) * step
    return result


def precondition(problem: Problem, residual: Features, c: float) -> Preconditioner:
    """Return the inverse of C M (x) Z'Z + I, with M = mean of diag(p) - p p' over the images."""
    n = len(problem.y)
    p = residual.copy()
    p[problem.y, np.arange(n)] += 1
    spread, classes = np.linalg.eigh((np.diag(p.sum(axis=1, dtype=np.float64)) - p @ p.T) / n)
    # Never below a tenth of an image: a class that is already certain still has a scale.
    spread = np.maximum(spread, 0.1 / n)
    curvature = np.empty((problem.n_classes, problem.z.shape[1] + 1))
    curvature[:, :-1] = c * spread[:, None] * problem.eigenvalues + 1
    curvature[:, -1] = c * spread * n
    return Preconditioner(classes, 1 / curvature)


def _ridge(weights: Float64) -> Float64:
    """Return the gradient of the ridge: the weights themselves, and nothing for the intercepts."""
    result = weights.copy()
    result[:, -1] = 0
    return result


def _dot(a: Float64 | Features, b: Float64 | Features) -> float:
    # Not np.vdot: for vectors this short, waking the threads of BLAS can cost more than the sum itself.
    return float(np.einsum("ij,ij->", a, b))
