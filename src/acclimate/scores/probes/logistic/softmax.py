"""The solver behind `logistic`: multinomial logistic regression for one C after another, fast, and several at once.

For centred features z (n, r), one-hot labels Y (K, n), weights A (K, r) and intercepts b (K), it minimises

    F(A, b) = C * sum_i -ln softmax(A z_i + b)[y_i] + |A|^2 / 2,

which is scikit-learn's objective. Four things make it fast:

- *Coordinates.* The Hessian is close to C M (x) Z'Z + I, with M (K, K) the mean of diag(p) - p p' over the images:
  exact where p does not depend on the image. In the principal axes of the features Z'Z is diagonal (`eigenvalues`), in
  the eigenvectors of M the classes are, so it is inverted at no cost. L-BFGS (Nocedal & Wright 2006)
  starts from this inverse instead of a multiple of the identity.
- *Products.* Logits are linear along a search direction, so each iteration costs one product forward (of the
  direction) and one back (the gradient); the line search between them only adds and exponentiates.
- *Memory.* The pairs L-BFGS remembers are kept without the ridge and without C, so that they stay true for
  the next C, which starts at the last solution. See `memory`.
- *Stacks.* Problems of one shape are solved side by side: each goes its own way, but what is short for one of them is
  done for all in one call. A problem gets the same answer alone and in company.

Products and exponentials have the type of Z, sums over images and everything of the size of A are float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from acclimate.scores.base import Features, Float64, Index
from acclimate.scores.probes.logistic.algebra import Memory, Preconditioner, dots, ridge
from acclimate.scores.probes.products import pays, product, softmax_parts
from acclimate.stats.metrics import Labels

ARMIJO: Final = 1e-4
CURVATURE: Final = 0.9
TRIALS: Final = 25
# Rounding noise of the mean loss, in nats: a step that is worse by less than this is not refused.
NOISE: Final = {"float32": 1e-8, "float64": 1e-15}

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Problem:
    """The data of b regressions of one shape, in principal axes."""

    z: Sequence[Features]  # b of (n, r), each column with mean 0; their type is that of the products
    y: Labels  # (b, n) in [0, K), every class occurs
    n_classes: int  # K
    eigenvalues: Float64  # (b, r), diagonals of z.T @ z

    @cached_property
    def large(self) -> bool:
        """Whether its products are torch's."""
        return pays(self.n_classes * self.z[0].size)


class Solutions(NamedTuple):
    """Where `solve` stopped, of each problem it was sent with."""

    iterations: Index  # (a,)
    converged: Bools  # (a,)


@dataclass(eq=False)
class SolverState:
    """The solutions for one C; `solve` moves them to those for the next.

    `weights` is (b, K, r + 1), intercepts in the last column.
    """

    weights: Float64
    memory: Memory
    positions: dict[int, _Position] = field(default_factory=dict)  # of the problems that `solve` moved last

    def copy(self) -> SolverState:
        """Return a copy that moves independently."""
        return SolverState(self.weights.copy(), self.memory.copy())

    def take(self, member: int, other: SolverState) -> None:
        """Take the solution of one problem from another state."""
        self.weights[member] = other.weights[member]
        self.memory.take(member, other.memory)
        self.positions.pop(member, None)


@dataclass(frozen=True, eq=False)
class _Position:
    """Logits and gradient of the losses at the solution of a problem: the next C begins without a product."""

    logits: Features  # (K, n)
    data: Float64  # (K, r + 1)


@dataclass(eq=False)
class _LiveProblems:
    """The a problems that `solve` has not solved yet."""

    members: Index  # (a,), their places in the stack
    c: Float64  # (a,)
    logits: Features  # (a, K, n)
    loss: Float64  # (a,), sums over images
    data: Float64  # (a, K, r + 1), gradients of the losses
    inverse: Preconditioner

    def keep(self, mask: Bools, state: SolverState) -> None:
        """Keep the problems of a mask (a,); the others stay at their position."""
        for i in np.flatnonzero(~mask):
            state.positions[int(self.members[i])] = _Position(self.logits[i], self.data[i])
        if not mask.all():
            self.members, self.c, self.logits = self.members[mask], self.c[mask], self.logits[mask]
            self.loss, self.data, self.inverse = self.loss[mask], self.data[mask], self.inverse.of(mask)


def start(problem: Problem) -> SolverState:
    """Return the solutions for C = 0: no weights, and intercepts that reproduce the class frequencies."""
    weights = np.zeros((len(problem.z), problem.n_classes, problem.z[0].shape[1] + 1))
    for table, y in zip(weights, problem.y, strict=True):
        table[:, -1] = np.log(np.bincount(y, minlength=problem.n_classes) / len(y))
        table[:, -1] -= table[:, -1].mean()
    return SolverState(weights, Memory.of(weights))


def solve(
    problem: Problem, state: SolverState, c: Float64, members: Index, *, tolerance: float, max_iterations: int
) -> Solutions:
    """Move `members` (a,) of `state` to the minima for their `c` (a,).

    A problem stops when F is estimated to be within `tolerance` nats per image (times C) of its minimum, from the
    decrement g' H^-1 g / 2 in which H is both the start and the L-BFGS estimate.
    """
    iterations, converged = np.full(len(state.weights), max_iterations), np.zeros(len(state.weights), bool)
    live = _begin(problem, state, c, members)
    for iteration in range(max_iterations):
        gradient = live.c[:, None, None] * live.data + ridge(state.weights[live.members])
        direction = -state.memory.times(gradient, live.members, live.inverse, live.c)
        slope = dots(gradient, direction)
        decrement = np.maximum(-slope, dots(gradient, live.inverse.apply(gradient)))
        solved = decrement <= 2 * tolerance * live.c * problem.y.shape[1]
        iterations[live.members[solved]], converged[live.members[solved]] = iteration, True
        live.keep(~solved, state)
        if not len(live.members):
            break
        stepped, step, residual = _search(problem, state, live, direction[~solved], slope[~solved])
        iterations[live.members[~stepped]] = iteration
        live.keep(stepped, state)
        if not len(live.members):
            break
        change = step[stepped][:, None, None] * direction[~solved][stepped]
        before, live.data = live.data, backward(problem, live.members, residual if stepped.all() else residual[stepped])
        state.weights[live.members] += change
        state.memory.add(live.members, change, live.data - before)
    live.keep(np.zeros(len(live.members), bool), state)
    return Solutions(iterations[members], converged[members])


def _begin(problem: Problem, state: SolverState, c: Float64, members: Index) -> _LiveProblems:
    positions = [state.positions.pop(int(member)) for member in members if int(member) in state.positions]
    stays = len(positions) == len(members)
    logits = (
        np.stack([position.logits for position in positions])
        if stays
        else forward(problem, members, state.weights[members])
    )
    loss, residual = losses(logits, problem.y[members], large=problem.large)
    data = np.stack([position.data for position in positions]) if stays else backward(problem, members, residual)
    return _LiveProblems(members, c, logits, loss, data, precondition(problem, members, residual, c))


def forward(problem: Problem, members: Index, weights: Float64) -> Features:
    """Return logits (a, K, n). Classes first: sums over few classes are then sums of long rows."""
    narrow = weights.astype(problem.z[0].dtype, copy=False)
    logits: Features = np.empty((len(members), problem.n_classes, problem.y.shape[1]), narrow.dtype)
    for member, table, out in zip(members, narrow, logits, strict=True):
        product(table[:, :-1], problem.z[member].T, out, large=problem.large)
    logits += narrow[:, :, -1:]
    return logits


def backward(problem: Problem, members: Index, residual: Features) -> Float64:
    """Return the gradients (a, K, r + 1) of the sums of losses from the residuals P - Y (a, K, n)."""
    gradient = np.empty((len(members), problem.n_classes, problem.z[0].shape[1] + 1))
    for member, table, out in zip(members, residual, gradient, strict=True):
        out[:, :-1] = product(table, problem.z[member], large=problem.large)
    gradient[:, :, -1] = residual.sum(axis=2, dtype=np.float64)
    return gradient


def losses(logits: Features, y: Labels, *, large: bool) -> tuple[Float64, Features]:
    """Return the sums of losses (a,) and the residuals P - Y (a, K, n) of logits (a, K, n) and labels (a, n)."""
    place = _true(y)
    true = logits[place].astype(np.float64)
    highest, total, residual = softmax_parts(logits, large=large)
    loss: Float64 = (np.log(total, dtype=np.float64) + highest - true).sum(axis=1)
    residual[place] -= 1
    return loss, residual


def _true(y: Labels) -> tuple[Any, ...]:
    return np.arange(len(y))[:, None], y, np.arange(y.shape[1])


def _search(
    problem: Problem, state: SolverState, live: _LiveProblems, direction: Float64, slope0: Float64
) -> tuple[Bools, Float64, Features]:
    """Find steps with the Wolfe conditions; move `live` there and return (stepped, steps, residuals), of each problem.

    `slope0` (a,) are the slopes of F at step 0. Without a step: rounding leaves nothing to gain.
    """
    along, y = forward(problem, live.members, direction), problem.y[live.members]
    linear = dots(ridge(state.weights[live.members]), direction)
    square = dots(ridge(direction), direction)
    slack = live.c * NOISE[along.dtype.name] * y.shape[1]
    low, high, step = np.zeros(len(y)), np.full(len(y), np.inf), np.ones(len(y))
    loss0, base, residuals = live.loss, live.logits, along
    at: Any = slice(None)  # which are still searching
    for _ in range(TRIALS):
        c, s, start, toward = live.c[at], step[at], slope0[at], along[at]
        moved = s.astype(along.dtype)[:, None, None] * toward
        moved += base[at]
        loss, residual = losses(moved, y[at], large=problem.large)
        rise = c * (loss - loss0[at]) + s * linear[at] + s**2 * square[at] / 2
        slope = c * dots(residual, toward) + linear[at] + s * square[at]
        worse = rise > ARMIJO * s * start + slack[at]
        good = ~worse & (slope >= CURVATURE * start)
        if isinstance(at, slice):  # all go on together so far: no copies
            if good.all():
                live.logits, live.loss = moved, loss
                return good, step, residual
            if not good.any():
                high[worse], low[~worse] = s[worse], s[~worse]
                step = _next(s, start, slope, low, high)
                del moved, residual  # or they lie beside those of the next trial
                continue
            live.logits, live.loss, residuals = base.copy(), loss0.copy(), np.empty_like(along)
            at = np.arange(len(y))
        live.logits[at[good]], live.loss[at[good]], residuals[at[good]] = moved[good], loss[good], residual[good]
        high[at[worse]], low[at[~worse & ~good]] = s[worse], s[~worse & ~good]
        at, searching = at[~good], ~good
        if not len(at):
            break
        step[at] = _next(s[searching], start[searching], slope[searching], low[at], high[at])
    stepped = np.ones(len(y), bool)
    stepped[at] = False
    return stepped, step, residuals


def _next(step: Float64, slope0: Float64, slope: Float64, low: Float64, high: Float64) -> Float64:
    """Return where to look next: F is convex along the line, so where the secant of the slopes vanishes."""
    # It is kept inside the bracket, or below four times the step while there is no upper end
    rises = slope > slope0
    guess = np.where(rises, step * slope0 / np.where(rises, slope0 - slope, 1), np.inf)
    upper = np.where(np.isfinite(high), low + 0.9 * (high - low), 4 * step)
    return np.clip(guess, low + 0.1 * (upper - low), upper)


def precondition(problem: Problem, members: Index, residual: Features, c: Float64) -> Preconditioner:
    """Return the inverses of C M (x) Z'Z + I, with M = mean of diag(p) - p p' over the images."""
    y, eigenvalues = problem.y[members], problem.eigenvalues[members]
    n, p = y.shape[1], residual.copy()
    p[_true(y)] += 1
    mean = -np.stack([product(table, table.T, large=problem.large) for table in p]).astype(np.float64)
    diagonal = np.arange(problem.n_classes)
    mean[:, diagonal, diagonal] += p.sum(axis=2, dtype=np.float64)
    spread, classes = np.linalg.eigh(mean / n)
    # Never below a tenth of an image: a class that is already certain still has a scale.
    spread = np.maximum(spread, 0.1 / n)
    curvature = np.empty((len(members), problem.n_classes, eigenvalues.shape[1] + 1))
    curvature[:, :, :-1] = (c[:, None] * spread)[:, :, None] * eigenvalues[:, None] + 1
    curvature[:, :, -1] = c[:, None] * spread * n
    return Preconditioner(classes, 1 / curvature)
