"""Multinomial logistic regression over a path of C, chosen on validation.

The objective is scikit-learn's, C * sum of losses + |W|^2 / 2 with free intercepts, by default on features
standardised with the mean and the standard deviation of the training set. As there, two classes share one
weight vector w = w_1 - w_0, which is the softmax below with half of C.

C runs over 13 powers of ten, 1e-6 to 1e6, from strong to weak regularisation, each fit starting from the last. It
stops early when two in a row improved neither log loss nor accuracy on validation: what is left would overfit
more, at the highest cost. The C with the lowest validation log loss is taken (of equals the smallest) and solved more
precisely than the path, whose points need only be told apart. If it lies
on the edge of the grid this is reported: a better one may lie outside.

Cost: the features' covariance (with n < d their Gram matrix) and its eigenvectors, one copy in these axes, then a few
dozen products of (n, d) by (d, C) for each C; see `softmax`. Several training sets of one size are fitted side by side
(`fit_stack`); `subsets.fit_many` is the way to ask for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from acclimate.scores.base import Features, Float64, Probe, ProbeData, blocks, check_features
from acclimate.scores.probes.logistic.paths import (
    LogisticSettings,
    Stack,
    Trail,
    ValidationSet,
    advance,
    polish,
    pose,
    walk,
)
from acclimate.scores.probes.logistic.softmax import SolverState, start
from acclimate.scores.probes.normalise import Normaliser
from acclimate.scores.probes.products import alone
from acclimate.scores.probes.temper import softmax
from acclimate.stats.metrics import Labels


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
        normaliser = self.normaliser.of(x)
        logits = np.empty((len(x), len(self.bias)))
        for rows in blocks(len(x), 16 * x.shape[1]):
            logits[rows] = (normaliser.transform(x[rows]) - self.mean) @ self.weights + self.bias
        return softmax(logits)


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """The training features and labels of one classifier, and the validation set that chooses its C."""

    x: Features  # (n, d)
    y: Labels  # (n,)
    validation: ValidationSet


def fitted(data: ProbeData, settings: LogisticSettings) -> Logistic:
    """Fit the path and keep the C that does best on validation.

    Examples
    --------
    >>> x, y = np.array([[0.0, 1.0], [0.1, 1.0], [1.0, 0.0]]), np.array([0, 0, 1])
    >>> probe = fit(x, y, x, y, n_classes=2, seed=0)
    >>> probe.settings["C"], probe.settings["at_edge"], probe.predict_proba(x).argmax(axis=1)
    (1000000.0, True, array([0, 0, 1]))
    >>> clip = LogisticSettings(c=(0.316,), normalise="none")
    >>> fit(x, y, x, y, n_classes=2, seed=0, settings=clip).settings["C"]
    0.316
    """
    part = TrainingSet(data.x, data.y, validation_set(data.x_val, data.y_val, settings))
    return fit_stack([part], data.n_classes, settings)[0]


def validation_set(x: Features, y: Labels, settings: LogisticSettings) -> ValidationSet:
    """Return validation features and labels, made ready once for all classifiers that are chosen on them."""
    return ValidationSet.of(x, y, unit_length=settings.normalise == "l2")


def fit_stack(sets: Sequence[TrainingSet], n_classes: int, settings: LogisticSettings) -> list[Logistic]:
    """Fit several sets side by side: equally many images of equally many classes each. Nothing is checked.

    A set gets the same answer in any company, to the bit.
    """
    stack = pose([(part.x, part.y) for part in sets], settings.normalise)
    with alone(stack.problem.large):
        best, trails, polished = walk(stack, [part.validation for part in sets], settings)
    descriptions = [
        _describe(trail, bool(converged), settings) for trail, converged in zip(trails, polished.converged, strict=True)
    ]
    if not settings.refit:
        return [_model(stack, i, best, n_classes, description) for i, description in enumerate(descriptions)]
    del stack, best
    pairs = zip(sets, descriptions, strict=True)
    return [_refit(part, n_classes, description, settings) for part, description in pairs]


def _describe(trail: Trail, converged: bool, settings: LogisticSettings) -> dict[str, Any]:
    grid, c = sorted(set(settings.c)), trail.c[trail.place]
    return {
        "C": c,
        "at_edge": len(grid) > 1 and c in (grid[0], grid[-1]),
        "select": settings.select,
        "refit": settings.refit,
        "normalise": settings.normalise,
        "iterations": trail.iterations,
        "converged": converged,
        "path": trail.points(),
    }


def _refit(part: TrainingSet, n_classes: int, description: dict[str, Any], settings: LogisticSettings) -> Logistic:
    x, y = np.concatenate([part.x, part.validation.x]), np.concatenate([part.y, part.validation.y])
    stack, c = pose([(x, y)], settings.normalise), np.array([description["C"]])
    state = start(stack.problem)
    with alone(stack.problem.large):
        advance(stack.problem, state, c, np.arange(1), settings)
        polish(stack.problem, state, c, settings)
    return _model(stack, 0, state, n_classes, description)


def _model(stack: Stack, member: int, state: SolverState, n_classes: int, description: dict[str, Any]) -> Logistic:
    linear, present = stack.classifier(member, state), stack.present[member]
    weights, bias = np.zeros((len(linear.mean), n_classes)), np.full(n_classes, -np.inf)
    weights[:, present], bias[present] = linear.weights, linear.bias
    return Logistic(linear.normaliser, linear.mean, weights, bias, description)


LOGISTIC: Final = Probe(
    fitted,
    LogisticSettings,
    "Accuracy of a linear classifier with the best ridge: what a linear probe of the frozen model reaches.",
    laws=frozenset({"order", "labels", "columns", "shift", "scale"}),
)
fit: Final = LOGISTIC.fit
