"""Multinomial logistic regression over a path of C, chosen on validation.

The objective is scikit-learn's, C * sum of losses + |W|^2 / 2 with free intercepts, by default on features
standardised with the mean and the standard deviation of the training set. As there, two classes share one
weight vector w = w_1 - w_0, which is the softmax below with half of C.

C runs over 13 powers of ten, 1e-6 to 1e6, from strong to weak regularisation, each fit starting from the last. It
stops early when two in a row improved neither log loss nor accuracy on validation: what is left would overfit
more, at the highest cost. The C with the lowest validation log loss is taken (of equals the smallest) and solved more
precisely than the path, whose points need only be told apart. If it lies
on the edge of the grid this is reported: a better one may lie outside.

Cost: one float32 copy of the features, their covariance and its eigenvectors, then a few dozen products of
(n, d) by (d, C) for each C; see `softmax`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import numpy as np
from pydantic import Field

from acclimate.metrics import Labels
from acclimate.scores.axes import Axes, principal_axes
from acclimate.scores.base import (
    Features,
    Float64,
    Settings,
    blocks,
    check_features,
    check_fit,
    judge,
)
from acclimate.scores.normalise import NORMALISERS, Normalise, Normaliser
from acclimate.scores.softmax import Problem, State, solve, start
from acclimate.scores.temper import softmax

GRID: Final = tuple(10.0**power for power in range(-6, 7))
# Nats per image between the objective and its minimum, by the type of the products: along the path, whose points need
# only be told apart, and for the C that is taken.
TOLERANCE: Final = {"float32": 3e-5, "float64": 1e-7}
POLISH: Final = {"float32": 1e-6, "float64": 1e-12}
SMALL: Final = 2**18  # values in a matrix that is cheap enough for float64
MAX_ITERATIONS: Final = 200
PATIENCE: Final = 2


class LogisticSettings(Settings):
    """Settings of `logistic`.

    Attributes
    ----------
    c
        Values of C to choose from; one value is simply taken. Tried from small to large, each from the last solution.
    select
        What validation chooses by: the lowest ``log_loss`` or the highest ``accuracy``; of equals the smallest C.
    patience
        The path ends after so many values of C in a row that improved neither number; None tries all.
    refit
        Whether the chosen C is fitted again on training and validation images together.
    normalise
        A name in ``NORMALISERS``, learned from the training images (with `refit`, from both).
    tolerance
        Nats per image between the objective (divided by C n) and its minimum at which a C of the path counts as solved;
        None: 3e-5, or 1e-7 for small problems, which are solved in float64. The C that is taken is solved to 1e-6 and
        1e-12.
    max_iterations
        Iterations of L-BFGS for each C.
    """

    c: tuple[Annotated[float, Field(gt=0)], ...] = Field(default=GRID, min_length=1)
    select: Literal["log_loss", "accuracy"] = "log_loss"
    patience: Annotated[int, Field(ge=1)] | None = PATIENCE
    refit: bool = False
    normalise: Normalise = "zscore"
    tolerance: Annotated[float, Field(gt=0)] | None = None
    max_iterations: int = Field(default=MAX_ITERATIONS, ge=1)


@dataclass(frozen=True, eq=False)
class Logistic:
    """Logistic regression with the C that validation chose."""

    normaliser: Normaliser
    mean: Float64  # (d,), of the normalised features
    weights: Float64  # (d, C), of the normalised features minus the mean
    bias: Float64  # (C,); -inf for a class that training never saw
    settings: dict[str, Any]
    name: str = "logistic"

    def predict_proba(self, x: Features) -> Float64:
        """Return class probabilities (m, C) of features (m, d)."""
        check_features(x, "features", width=len(self.mean))
        own = self.normaliser.of(x)
        logits = np.empty((len(x), len(self.bias)))
        for rows in blocks(len(x), 16 * x.shape[1]):
            logits[rows] = (own.transform(x[rows]) - self.mean) @ self.weights + self.bias
        return softmax(logits)


@dataclass(frozen=True, eq=False)
class Solution:
    """One point of the path."""

    c: float
    state: State  # in principal axes
    iterations: int
    converged: bool


def fit(
    x: Features,
    y: Labels,
    x_val: Features,
    y_val: Labels,
    *,
    n_classes: int,
    seed: int,
    settings: LogisticSettings | None = None,
) -> Logistic:
    """Fit the path and keep the C that does best on validation; arguments as in `base.ScoreFit`.

    `seed` is unused: nothing here is random.

    Examples
    --------
    >>> x, y = np.array([[0.0, 1.0], [0.1, 1.0], [1.0, 0.0]]), np.array([0, 0, 1])
    >>> fitted = fit(x, y, x, y, n_classes=2, seed=0)
    >>> fitted.settings["C"], fitted.settings["at_edge"], fitted.predict_proba(x).argmax(axis=1)
    (1000000.0, True, array([0, 0, 1]))
    >>> clip = LogisticSettings(c=(0.316,), normalise="none")
    >>> fit(x, y, x, y, n_classes=2, seed=0, settings=clip).settings["C"]
    0.316
    """
    check_fit(x, y, x_val, y_val, n_classes)
    settings = settings or LogisticSettings()
    grid, present = sorted(set(settings.c)), np.unique(y)
    axes = principal_axes(x, NORMALISERS[settings.normalise].fit(x))
    problem = pose(axes, x, np.searchsorted(present, y))
    held, solutions, judged = axes.project(x_val), [], []
    for solution in path(problem, grid, settings):
        solutions.append(solution)
        judged.append(judge(_predict(held, solution, present, n_classes), y_val))
        if settings.patience is not None and _hopeless(judged, settings.patience):
            break
    place = _best(judged, settings.select)
    best = polish(problem, solutions[place], settings)
    judged[place] = judge(_predict(held, best, present, n_classes), y_val)
    described = {
        "C": best.c,
        "at_edge": len(grid) > 1 and best.c in (grid[0], grid[-1]),
        "select": settings.select,
        "refit": settings.refit,
        "normalise": settings.normalise,
        "iterations": sum(solution.iterations for solution in solutions) + best.iterations,
        "converged": best.converged,
        "path": [
            {"C": solution.c, "val_accuracy": accuracy, "val_log_loss": loss}
            for solution, (accuracy, loss) in zip(solutions, judged, strict=True)
        ],
    }
    if settings.refit:
        del problem, held
        x, y = np.concatenate([x, x_val]), np.concatenate([y, y_val])
        present = np.unique(y)
        axes = principal_axes(x, NORMALISERS[settings.normalise].fit(x))
        problem = pose(axes, x, np.searchsorted(present, y))
        best = polish(problem, next(path(problem, [best.c], settings)), settings)
    return Logistic(axes.normaliser, axes.mean, *_unfold(axes, best, present, n_classes), described)


def _best(judged: list[tuple[float, float]], select: str) -> int:
    """Return the index of the point (accuracy, log loss) to take; of equals the first."""
    accuracies, losses = np.array(judged).T
    return int(np.argmin(losses) if select == "log_loss" else np.argmax(accuracies))


def _hopeless(judged: list[tuple[float, float]], patience: int) -> bool:
    """Whether the last `patience` points (accuracy, log loss) bettered neither number of those before them."""
    before, after = judged[:-patience], judged[-patience:]
    if not before:
        return False
    accurate = max(accuracy for accuracy, _ in before) >= max(accuracy for accuracy, _ in after)
    return accurate and min(loss for _, loss in before) <= min(loss for _, loss in after)


def _predict(held: Features, solution: Solution, present: Labels, n_classes: int) -> Float64:
    """Return probabilities (v, C) of validation features in principal axes."""
    p = np.zeros((len(held), n_classes))
    p[:, present] = softmax(held @ solution.state.weights[:, :-1].T + solution.state.weights[:, -1])
    return p


def pose(axes: Axes, x: Features, y: Labels) -> Problem:
    """Return the regression in principal axes; labels 0..K-1 must all occur. Small ones are solved in float64."""
    z = axes.project(x, np.float64 if len(x) * axes.rotation.shape[1] <= SMALL else np.float32)
    return Problem(z, y, int(y.max()) + 1, np.einsum("ij,ij->j", z, z, dtype=np.float64))


def path(problem: Problem, grid: Sequence[float], settings: LogisticSettings) -> Iterator[Solution]:
    """Yield the solution for each C of an ascending grid, each from the last."""
    state, tolerance = start(problem), settings.tolerance or TOLERANCE[problem.z.dtype.name]
    for c in grid:
        yield _solved(problem, state, c, tolerance, settings.max_iterations)


def polish(problem: Problem, solution: Solution, settings: LogisticSettings) -> Solution:
    """Return a solution solved more precisely than the path."""
    tolerance = min(POLISH[problem.z.dtype.name], settings.tolerance or 1.0)
    return _solved(problem, solution.state, solution.c, tolerance, settings.max_iterations)


def _solved(problem: Problem, state: State, c: float, tolerance: float, max_iterations: int) -> Solution:
    scaled = c / 2 if problem.n_classes == 2 else c
    found = solve(problem, state, scaled, tolerance=tolerance, max_iterations=max_iterations)
    return Solution(c, state.copy(), *found)


def _unfold(axes: Axes, solution: Solution, present: Labels, n_classes: int) -> tuple[Float64, Float64]:
    """Return weights (d, C) of the centred features and intercepts (C,) of a solution in principal axes."""
    weights = np.zeros((len(axes.mean), n_classes))
    weights[:, present] = axes.rotation @ solution.state.weights[:, :-1].T
    bias = np.full(n_classes, -np.inf)
    bias[present] = solution.state.weights[:, -1]
    return weights, bias
