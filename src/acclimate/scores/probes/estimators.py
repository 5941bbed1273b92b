"""The classifiers as scikit-learn estimators: `fit`, `predict`, `predict_proba`, `score`, pipelines, cross-validation.

They need no validation part. `KNNProbe` and `LogisticProbe` take fixed settings; `LogisticProbe(C=None)` chooses C on a
stratified fifth of the data and fits that C again on all of it. `RidgeProbe` chooses lambda, and `RidgeProbe` and
`NearestMean` learn how sure to be, by leave-one-out. Everything else is as in the score of the same name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Final

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from acclimate.scores.base import Features, Fitted, Float64, Index
from acclimate.scores.probes import knn, ncm, ridge
from acclimate.scores.probes.logistic import probe as logistic
from acclimate.scores.probes.logistic.probe import GRID
from acclimate.scores.probes.neighbours import Metric
from acclimate.scores.probes.normalise import Normalise
from acclimate.scores.probes.ridge import GRID as LAMBDAS

HELD: Final = 0.2
KINDS: Final = (np.float64, np.float32)


class Probe(ClassifierMixin, BaseEstimator, ABC):  # type: ignore[misc]  # scikit-learn ships no types
    """What all of them share; a probe says in `_fit` how its score is fitted."""

    def fit(self, X: Any, y: Any) -> Probe:
        """Fit on features (n, d) and labels (n,) of any type; two classes or more."""
        x, labels = validate_data(self, X, y, dtype=KINDS)
        check_classification_targets(labels)
        self.classes_, index = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"a classifier needs two classes or more, got 1 class: {self.classes_[0]!r}")
        self.fitted_ = self._fit(x, index, len(self.classes_))
        return self

    def predict_proba(self, X: Any) -> Float64:
        """Return probabilities (m, C), columns in the order of `classes_`."""
        check_is_fitted(self)
        return self.fitted_.predict_proba(validate_data(self, X, reset=False, dtype=KINDS))

    def predict(self, X: Any) -> Any:
        """Return the most probable class of each row, (m,)."""
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]

    @abstractmethod
    def _fit(self, x: Features, y: Index, n_classes: int) -> Fitted: ...


class KNNProbe(Probe):
    """k nearest neighbours with fixed settings; see `knn`. With fewer than `k` images all of them vote."""

    def __init__(
        self,
        k: int = 20,
        *,
        metric: Metric = "cosine",
        weights: knn.Weights = "auto",
        temperature: float = 0.07,
        normalise: Normalise = "none",
    ) -> None:
        self.k = k
        self.metric = metric
        self.weights = weights
        self.temperature = temperature
        self.normalise = normalise

    def _fit(self, x: Features, y: Index, n_classes: int) -> Fitted:
        settings = knn.KnnSettings(
            metric=(self.metric,),
            k=(self.k,),
            weights=self.weights,
            temperature=self.temperature,
            normalise=self.normalise,
        )
        return knn.fit(x, y, x[:1], y[:1], n_classes=n_classes, seed=0, settings=settings)


class NearestMean(Probe):
    """Nearest class mean; see `ncm`."""

    def __init__(self, *, metric: Metric = "euclidean", normalise: Normalise = "none") -> None:
        self.metric = metric
        self.normalise = normalise

    def _fit(self, x: Features, y: Index, n_classes: int) -> Fitted:
        settings = ncm.NcmSettings(metric=(self.metric,), temper="loo", normalise=self.normalise)
        return ncm.fit(x, y, x[:1], y[:1], n_classes=n_classes, seed=0, settings=settings)


class RidgeProbe(Probe):
    """Ridge regression onto class indicators, lambda chosen by exact leave-one-out; see `ridge`."""

    def __init__(
        self,
        *,
        lambdas: tuple[float, ...] = LAMBDAS,
        bias: float | None = None,
        normalise: Normalise = "zscore",
    ) -> None:
        self.lambdas = lambdas
        self.bias = bias
        self.normalise = normalise

    def _fit(self, x: Features, y: Index, n_classes: int) -> Fitted:
        settings = ridge.RidgeSettings(
            lambdas=tuple(self.lambdas), select="loo", bias=self.bias, normalise=self.normalise
        )
        return ridge.fit(x, y, x[:1], y[:1], n_classes=n_classes, seed=0, settings=settings)


class LogisticProbe(Probe):
    """Logistic regression; see `logistic`.

    `C=None` chooses among `path` on a stratified fifth of the data drawn with `random_state`, and needs two images of
    each class for it.
    """

    def __init__(
        self,
        C: float | None = 1.0,
        *,
        path: tuple[float, ...] = GRID,
        normalise: Normalise = "zscore",
        random_state: int = 0,
    ) -> None:
        self.C = C
        self.path = path
        self.normalise = normalise
        self.random_state = random_state

    def _fit(self, x: Features, y: Index, n_classes: int) -> Fitted:
        grid = tuple(self.path) if self.C is None else (self.C,)
        settings = logistic.LogisticSettings(c=grid, normalise=self.normalise, refit=self.C is None)
        if self.C is not None:
            return logistic.fit(x, y, x[:1], y[:1], n_classes=n_classes, seed=0, settings=settings)
        size = max(round(HELD * len(x)), n_classes)
        cut = StratifiedShuffleSplit(1, test_size=size, random_state=self.random_state)
        train, held = next(cut.split(x, y))
        return logistic.fit(x[train], y[train], x[held], y[held], n_classes=n_classes, seed=0, settings=settings)
