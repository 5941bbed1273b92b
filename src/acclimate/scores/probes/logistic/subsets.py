"""Logistic regression on several label subsets of the same features at once: few-shot budgets, many draws of each.

The answers are those of `logistic.fit` on one subset after another. Two things are shared. Subsets with equally many
images of equally many classes, as the draws of a budget are, go along the path of C side by side, so that what is short
for one of them is done for all in one call. Validation features that all share are made ready once, and meet the
weights of a whole stack in one product (`fit_many`); in `fit_draws` each draw has its own validation images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np

from acclimate.errors import DataError
from acclimate.scores.base import Features, Index, check_features, check_fit, check_labels
from acclimate.scores.probes.logistic.paths import LogisticSettings
from acclimate.scores.probes.logistic.probe import Logistic, TrainingSet, fit_stack, validation_set
from acclimate.stats.metrics import Labels

STACK_BYTES: Final = 64 * 2**20  # of the features of one stack, in float64


def fit_many(
    x: Features,
    subsets: Sequence[Index],
    y: Labels,
    x_val: Features,
    y_val: Labels,
    *,
    n_classes: int,
    settings: LogisticSettings | None = None,
) -> list[Logistic]:
    """Fit logistic regression on each subset of the training images; all choose C on the same validation images.

    Return one for each subset, in their order: what `logistic.fit(x[subset], y[subset], x_val, y_val, ...)` returns.
    Raises `DataError`: as `logistic.fit`; the message says which subset. An index that is out of range.

    Parameters
    ----------
    x : (n, d) floats
        Training features, finite.
    subsets : sequence of (m,) integers
        Rows of `x`, each subset with at least two classes; of any sizes, but those of one size share the work.
    y : (n,) integers in [0, n_classes)
        Training labels; rows in no subset may have -1, "no label".
    x_val, y_val : (v, d) floats, (v,) integers
        Validation features and labels; v >= 1.
    n_classes : int
        C, the number of columns of the probabilities.
    settings : LogisticSettings, optional
        None for the defaults.

    Examples
    --------
    >>> x, y = np.array([[0.0, 1.0], [0.1, 1.0], [1.0, 0.0], [0.9, 0.1]]), np.array([0, 0, 1, 1])
    >>> subsets = [np.array([0, 2]), np.array([1, 3]), np.arange(4)]
    >>> many = fit_many(x, subsets, y, x, y, n_classes=2)
    >>> [one.settings["C"] for one in many], many[0].predict_proba(x).argmax(axis=1)
    ([1000000.0, 1000000.0, 1000000.0], array([0, 0, 1, 1]))
    """
    settings = settings or LogisticSettings()
    check_features(x, "training features")
    _check(x, subsets, y, n_classes)
    if not len(subsets):
        return []
    check_fit(x[subsets[0]], y[subsets[0]], x_val, y_val, n_classes)
    validation = validation_set(x_val, y_val, settings)

    def training_set(member: int) -> TrainingSet:
        return TrainingSet(x[subsets[member]], y[subsets[member]], validation)

    return _fit([y[subset] for subset in subsets], x.shape[1], training_set, n_classes, settings)


def fit_draws(
    x: Features,
    y: Labels,
    draws: Sequence[tuple[Index, Index]],
    *,
    n_classes: int,
    settings: LogisticSettings | None = None,
) -> list[Logistic]:
    """Fit logistic regression on each draw, (training rows, validation rows) of `x`; else as `fit_many`.

    Examples
    --------
    >>> x, y = np.array([[0.0, 1.0], [0.1, 1.0], [1.0, 0.0], [0.9, 0.1]]), np.array([0, 0, 1, 1])
    >>> draws = [(np.array([0, 2]), np.array([1, 3])), (np.array([1, 3]), np.array([0, 2]))]
    >>> [one.predict_proba(x).argmax(axis=1) for one in fit_draws(x, y, draws, n_classes=2)]
    [array([0, 0, 1, 1]), array([0, 0, 1, 1])]
    """
    settings = settings or LogisticSettings()

    def training_set(member: int) -> TrainingSet:
        train, val = draws[member]
        check_fit(x[train], y[train], x[val], y[val], n_classes)
        return TrainingSet(x[train], y[train], validation_set(x[val], y[val], settings))

    return _fit([y[train] for train, _ in draws], x.shape[1], training_set, n_classes, settings)


def _fit(
    labels: Sequence[Labels],
    d: int,
    training_set: Callable[[int], TrainingSet],
    n_classes: int,
    settings: LogisticSettings,
) -> list[Logistic]:
    """Return the fits in order; a training set, a copy of features, is made for its stack alone."""
    fits: dict[int, Logistic] = {}
    for members in stacks(labels, d):
        fitted = fit_stack([training_set(member) for member in members], n_classes, settings)
        fits.update(zip(members, fitted, strict=True))
    return [fits[member] for member in range(len(labels))]


def stacks(labels: Sequence[Labels], d: int) -> Iterator[list[int]]:
    """Yield which subsets, by their labels, go side by side: of one size and number of classes, in bounded memory."""
    shapes: dict[tuple[int, int], list[int]] = {}
    for number, y in enumerate(labels):
        shapes.setdefault((len(y), len(np.unique(y))), []).append(number)
    for (n, _), members in shapes.items():
        step = max(1, STACK_BYTES // (8 * n * d))
        yield from (members[first : first + step] for first in range(0, len(members), step))


def _check(x: Features, subsets: Sequence[Index], y: Labels, n_classes: int) -> None:
    if y.shape != (len(x),):
        raise DataError(f"training labels have shape {y.shape}; expected ({len(x)},), one per row of the features")
    for number, subset in enumerate(subsets):
        if subset.ndim != 1 or not np.issubdtype(subset.dtype, np.integer) or not len(subset):
            raise DataError(
                f"subset {number} has shape {subset.shape} and type {subset.dtype}; expected (m,) row numbers, m >= 1"
            )
        if subset.min() < 0 or subset.max() >= len(x):
            raise DataError(
                f"subset {number} has rows {subset.min()} to {subset.max()}; expected 0 to {len(x) - 1}, "
                "the rows of the training features"
            )
        check_labels(y[subset], len(subset), n_classes, f"subset {number}'s")
        if len(np.unique(y[subset])) < 2:
            raise DataError(
                f"all {len(subset)} labels of subset {number} are class {y[subset[0]]}; expected two classes or more: "
                "draw images of each class"
            )
