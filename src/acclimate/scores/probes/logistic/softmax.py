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
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from acclimate.scores.base import Features, Float64, Index
from acclimate.scores.probes.logistic.memory import Memory, Preconditioner, dots, ridge
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


@dataclass(eq=False)
class State:
    """Where the solver stands; `solve` moves it from the solutions for one C to those for the next.

    `weights` is (b, K, r + 1), intercepts in the last column.
    """

    weights: Float64
    memory: Memory
    stands: dict[int, _Stand] = field(default_factory=dict)  # of the problems that `solve` moved last

    def copy(self) -> State:
        """Return a state that moves on its own."""
        return State(self.weights.copy(), self.memory.copy())

    def take(self, member: int, other: State) -> None:
        """Put one problem where it stands in another state."""
        self.weights[member] = other.weights[member]
        self.memory.take(member, other.memory)
        self.stands.pop(member, None)


@dataclass(frozen=True, eq=False)
class _Stand:
    """What is known of a problem where it stands, whatever C is: the next one begins without a product."""

    logits: Features  # (K, n)
    data: Float64  # (K, r + 1)


@dataclass(eq=False)
class _Run:
    """What `solve` knows of the a problems that are not solved yet."""

    members: Index  # (a,), their places in the stack
    c: Float64  # (a,)
    logits: Features  # (a, K, n)
    loss: Float64  # (a,), sums over images
    data: Float64  # (a, K, r + 1), gradients of the losses
    inverse: Preconditioner

    def keep(self, kept: Bools, state: State) -> None:
        """Go on with some; the others stay where they are."""
        for i in np.flatnonzero(~kept):
            state.stands[int(self.members[i])] = _Stand(self.logits[i], self.data[i])
        if not kept.all():
            self.members, self.c, self.logits = self.members[kept], self.c[kept], self.logits[kept]
            self.loss, self.data, self.inverse = self.loss[kept], self.data[kept], self.inverse.of(kept)


def start(problem: Problem) -> State:
    """Return the solutions for C = 0: no weights, and intercepts that reproduce the class frequencies."""
    weights = np.zeros((len(problem.z), problem.n_classes, problem.z[0].shape[1] + 1))
    for own, y in zip(weights, problem.y, strict=True):
        own[:, -1] = np.log(np.bincount(y, minlength=problem.n_classes) / len(y))
        own[:, -1] -= own[:, -1].mean()
    return State(weights, Memory.of(weights))


def solve(
    problem: Problem, state: State, c: Float64, members: Index, *, tolerance: float, max_iterations: int
) -> tuple[Index, Bools]:
    """Move `members` (a,) of `state` to the minima for their `c` (a,); return iterations (a,), and which got there.

    A problem stops when F is estimated to be within `tolerance` nats per image (times C) of its minimum, from the
    decrement g' H^-1 g / 2 in which H is both the start and the L-BFGS estimate.
    """
    iterations, converged = np.full(len(state.weights), max_iterations), np.zeros(len(state.weights), bool)
    run = _begin(problem, state, c, members)
    for iteration in range(max_iterations):
        gradient = run.c[:, None, None] * run.data + ridge(state.weights[run.members])
        direction = -state.memory.times(gradient, run.members, run.inverse, run.c)
        slope = dots(gradient, direction)
        decrement = np.maximum(-slope, dots(gradient, run.inverse.apply(gradient)))
        done = decrement <= 2 * tolerance * run.c * problem.y.shape[1]
        iterations[run.members[done]], converged[run.members[done]] = iteration, True
        run.keep(~done, state)
        if not len(run.members):
            break
        found, step, residual = _search(problem, state, run, direction[~done], slope[~done])
        iterations[run.members[~found]] = iteration
        run.keep(found, state)
        if not len(run.members):
            break
        change = step[found][:, None, None] * direction[~done][found]
        before, run.data = run.data, backward(problem, run.members, _of(residual, found))
        state.weights[run.members] += change
        state.memory.add(run.members, change, run.data - before)
    run.keep(np.zeros(len(run.members), bool), state)
    return iterations[members], converged[members]


def _begin(problem: Problem, state: State, c: Float64, members: Index) -> _Run:
    known = [state.stands.pop(int(member)) for member in members if int(member) in state.stands]
    stays = len(known) == len(members)
    logits = np.stack([stand.logits for stand in known]) if stays else forward(problem, members, state.weights[members])
    loss, residual = losses(logits, problem.y[members], large=problem.large)
    data = np.stack([stand.data for stand in known]) if stays else backward(problem, members, residual)
    return _Run(members, c, logits, loss, data, precondition(problem, members, residual, c))


def forward(problem: Problem, members: Index, weights: Float64) -> Features:
    """Return logits (a, K, n). Classes first: sums over few classes are then sums of long rows."""
    narrow = weights.astype(problem.z[0].dtype, copy=False)
    logits: Features = np.empty((len(members), problem.n_classes, problem.y.shape[1]), narrow.dtype)
    for member, own, out in zip(members, narrow, logits, strict=True):
        product(own[:, :-1], problem.z[member].T, out, large=problem.large)
    logits += narrow[:, :, -1:]
    return logits


def backward(problem: Problem, members: Index, residual: Features) -> Float64:
    """Return the gradients (a, K, r + 1) of the sums of losses from the residuals P - Y (a, K, n)."""
    gradient = np.empty((len(members), problem.n_classes, problem.z[0].shape[1] + 1))
    for member, own, out in zip(members, residual, gradient, strict=True):
        out[:, :-1] = product(own, problem.z[member], large=problem.large)
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


def _of(array: Any, kept: Bools) -> Any:
    """Return the entries that are kept; the array itself if all are."""
    return array if kept.all() else array[kept]


def _search(
    problem: Problem, state: State, run: _Run, direction: Float64, slope0: Float64
) -> tuple[Bools, Float64, Features]:
    """Find steps with the Wolfe conditions; move `run` there and return (found, steps, residuals), of each problem.

    `slope0` (a,) are the slopes of F at step 0. Not found: rounding leaves nothing to gain.
    """
    along, y = forward(problem, run.members, direction), problem.y[run.members]
    linear = dots(ridge(state.weights[run.members]), direction)
    square = dots(ridge(direction), direction)
    slack = run.c * NOISE[along.dtype.name] * y.shape[1]
    low, high, step = np.zeros(len(y)), np.full(len(y), np.inf), np.ones(len(y))
    loss0, base, residuals = run.loss, run.logits, along
    at: Any = slice(None)  # which are still searching
    for _ in range(TRIALS):
        c, s, start, toward = run.c[at], step[at], slope0[at], along[at]
        moved = s.astype(along.dtype)[:, None, None] * toward
        moved += base[at]
        loss, residual = losses(moved, y[at], large=problem.large)
        rise = c * (loss - loss0[at]) + s * linear[at] + s**2 * square[at] / 2
        slope = c * dots(residual, toward) + linear[at] + s * square[at]
        worse = rise > ARMIJO * s * start + slack[at]
        good = ~worse & (slope >= CURVATURE * start)
        if isinstance(at, slice):  # all go on together so far: no copies
            if good.all():
                run.logits, run.loss = moved, loss
                return good, step, residual
            if not good.any():
                high[worse], low[~worse] = s[worse], s[~worse]
                step = _next(s, start, slope, low, high)
                del moved, residual  # or they lie beside those of the next trial
                continue
            run.logits, run.loss, residuals = base.copy(), loss0.copy(), np.empty_like(along)
            at = np.arange(len(y))
        run.logits[at[good]], run.loss[at[good]], residuals[at[good]] = moved[good], loss[good], residual[good]
        high[at[worse]], low[at[~worse & ~good]] = s[worse], s[~worse & ~good]
        at, rest = at[~good], ~good
        if not len(at):
            break
        step[at] = _next(s[rest], start[rest], slope[rest], low[at], high[at])
    found = np.ones(len(y), bool)
    found[at] = False
    return found, step, residuals


def _next(step: Float64, slope0: Float64, slope: Float64, low: Float64, high: Float64) -> Float64:
    """Return where to look next: F is convex along the line, so where the secant of the slopes vanishes.

    It is kept inside the bracket, or below four times the step while there is no upper end.
    """
    rises = slope > slope0
    guess = np.where(rises, step * slope0 / np.where(rises, slope0 - slope, 1), np.inf)
    upper = np.where(np.isfinite(high), low + 0.9 * (high - low), 4 * step)
    return np.clip(guess, low + 0.1 * (upper - low), upper)


def precondition(problem: Problem, members: Index, residual: Features, c: Float64) -> Preconditioner:
    """Return the inverses of C M (x) Z'Z + I, with M = mean of diag(p) - p p' over the images."""
    y, eigenvalues = problem.y[members], problem.eigenvalues[members]
    n, p = y.shape[1], residual.copy()
    p[_true(y)] += 1
    mean = -np.stack([product(own, own.T, large=problem.large) for own in p]).astype(np.float64)
    diagonal = np.arange(problem.n_classes)
    mean[:, diagonal, diagonal] += p.sum(axis=2, dtype=np.float64)
    spread, classes = np.linalg.eigh(mean / n)
    # Never below a tenth of an image: a class that is already certain still has a scale.
    spread = np.maximum(spread, 0.1 / n)
    curvature = np.empty((len(members), problem.n_classes, eigenvalues.shape[1] + 1))
    curvature[:, :, :-1] = (c[:, None] * spread)[:, :, None] * eigenvalues[:, None] + 1
    curvature[:, :, -1] = c[:, None] * spread * n
    return Preconditioner(classes, 1 / curvature)
