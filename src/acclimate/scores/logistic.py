"""Multinomial logistic regression over a path of C, chosen on validation.

The objective is scikit-learn's, C * sum of losses + |W|^2 / 2 with free intercepts, by default on features
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
from typing import Annotated, Any, Final, Literal

import numpy as np
from pydantic import Field

from acclimate.metrics import Labels
from acclimate.scores.axes import Axes, principal_axes
from acclimate.scores.base import (
    Features,
    Float32,
    Float64,
    Settings,
    blocks,
    check_features,
    check_fit,
    judge,
)
from acclimate.scores.normalise import NORMALISERS, Normalise, Normaliser
from acclimate.scores.softmax import Problem, solve, start

GRID: Final = tuple(10.0**power for power in range(-6, 7))
TOLERANCE: Final = 1e-7  # nats per image between the objective and its minimum
MAX_ITERATIONS: Final = 100
PATIENCE: Final = 3


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
        Nats per image between the objective (divided by C n) and its minimum at which a C counts as solved.
    max_iterations
        Iterations of L-BFGS for each C.
    """

    c: tuple[Annotated[float, Field(gt=0)], ...] = Field(default=GRID, min_length=1)
    select: Literal["log_loss", "accuracy"] = "log_loss"
    patience: Annotated[int, Field(ge=1)] | None = PATIENCE
    refit: bool = False
    normalise: Normalise = "zscore"
    tolerance: float = Field(default=TOLERANCE, gt=0)
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
    weights: Float64  # (present classes, r + 1), in principal axes, intercepts last
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
    grid = sorted(set(settings.c))
    axes, present = principal_axes(x, NORMALISERS[settings.normalise].fit(x)), np.unique(y)
    held = axes.project(x_val)
    solutions, judged = [], []
    for solution in path(axes, x, np.searchsorted(present, y), grid, settings):
        solutions.append(solution)
        judged.append(judge(_predict(held, solution, present, n_classes), y_val))
        if settings.patience is not None and _hopeless(judged, settings.patience):
            break
    best = solutions[_best(judged, settings.select)]
    described = {
        "C": best.c,
        "at_edge": len(grid) > 1 and best.c in (grid[0], grid[-1]),
        "select": settings.select,
        "refit": settings.refit,
        "normalise": settings.normalise,
        "iterations": best.iterations,
        "converged": best.converged,
        "path": [
            {"C": solution.c, "val_accuracy": accuracy, "val_log_loss": loss}
            for solution, (accuracy, loss) in zip(solutions, judged, strict=True)
        ],
    }
    if settings.refit:
        x, y = np.concatenate([x, x_val]), np.concatenate([y, y_val])
        axes, present = principal_axes(x, NORMALISERS[settings.normalise].fit(x)), np.unique(y)
        (best,) = path(axes, x, np.searchsorted(present, y), [best.c], settings)
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


def _predict(held: Float32, solution: Solution, present: Labels, n_classes: int) -> Float64:
    """Return probabilities (v, C) of validation features in principal axes."""
    p = np.zeros((len(held), n_classes))
    p[:, present] = softmax(held @ solution.weights[:, :-1].T + solution.weights[:, -1])
    return p


def path(axes: Axes, x: Features, y: Labels, grid: Sequence[float], settings: LogisticSettings) -> Iterator[Solution]:
    """Yield the solution for each C of an ascending grid; labels 0..K-1 must all occur."""
    z = axes.project(x)
    problem = Problem(z, y, int(y.max()) + 1, np.einsum("ij,ij->j", z, z, dtype=np.float64))
    state = start(problem)
    for c in grid:
        iterations, converged = solve(
            problem,
            state,
            c / 2 if problem.n_classes == 2 else c,
            tolerance=settings.tolerance,
            max_iterations=settings.max_iterations,
        )
        yield Solution(c, state.weights, iterations, converged)


def _unfold(axes: Axes, solution: Solution, present: Labels, n_classes: int) -> tuple[Float64, Float64]:
    """Return weights (d, C) of the centred features and intercepts (C,) of a solution in principal axes."""
    weights = np.zeros((len(axes.mean), n_classes))
    weights[:, present] = axes.rotation @ solution.weights[:, :-1].T
    bias = np.full(n_classes, -np.inf)
    bias[present] = solution.weights[:, -1]
    return weights, bias


def softmax(logits: Float64) -> Float64:
    """Return exp(logits) with each row divided by its sum."""
    p: Float64 = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    return p
