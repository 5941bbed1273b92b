"""The probes as scikit-learn estimators: `fit`, `predict`, `predict_proba`, `score`, pipelines, cross-validation.

They need no validation part. `KNNProbe` and `LogisticProbe` take fixed settings; `LogisticProbe(C=None)` chooses C on a
stratified fifth of the data and fits that C again on all of it. `RidgeProbe` chooses lambda, and `RidgeProbe` and
`NearestMean` learn how sure to be, by leave-one-out. Everything else is as in the probe of the same name.

They stand apart from the probes, since the import of scikit-learn takes seconds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import KW_ONLY, asdict, dataclass
from typing import Any, Final

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from acclimate.scores.base import Features, FittedProbe, Float64, Index
from acclimate.scores.probes.knn import KNN, KnnSettings, Weights
from acclimate.scores.probes.logistic import LOGISTIC, LogisticSettings, paths
from acclimate.scores.probes.ncm import NCM, NcmSettings
from acclimate.scores.probes.neighbours import Metric
from acclimate.scores.probes.normalise import Normalise
from acclimate.scores.probes.ridge import GRID, RIDGE, RidgeSettings

KINDS: Final = (np.float64, np.float32)
VALIDATION_SHARE: Final = 0.2  # of the images of `LogisticProbe`


class ProbeEstimator(ClassifierMixin, BaseEstimator, ABC):  # type: ignore[misc]  # scikit-learn ships no types
    """Checks of the input, and prediction, which all of them share."""

    def fit(self, X: Any, y: Any) -> ProbeEstimator:
        """Fit on features (n, d) and labels (n,) of any type; two classes or more."""
        x, labels = validate_data(self, X, y, dtype=KINDS)
        check_classification_targets(labels)
        self.classes_, index = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"a classifier needs two classes or more, got 1 class: {self.classes_[0]!r}")
        self.fitted_ = self.fit_probe(x, index, len(self.classes_))
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
    def fit_probe(self, x: Features, y: Index, n_classes: int) -> FittedProbe:
        """Fit the probe on features (n, d) and classes (n,) in [0, n_classes)."""


@dataclass(eq=False, repr=False)
class KNNProbe(ProbeEstimator):
    """k nearest neighbours with fixed settings; see `knn`. With fewer than `k` images all of them vote."""

    k: int = 20
    _: KW_ONLY
    metric: Metric = "cosine"
    weights: Weights = "auto"
    temperature: float = 0.07
    normalise: Normalise = "none"

    def fit_probe(self, x: Features, y: Index, n_classes: int) -> FittedProbe:
        """Keep the training features."""
        settings = KnnSettings(**asdict(self) | {"metric": (self.metric,), "k": (self.k,)})
        return KNN.fit(x, y, x[:1], y[:1], n_classes=n_classes, seed=0, settings=settings)


@dataclass(eq=False, repr=False, kw_only=True)
class NearestMean(ProbeEstimator):
    """Nearest class mean; see `ncm`. The factor is learned by leave-one-out."""

    metric: Metric = "euclidean"
    normalise: Normalise = "none"

    def fit_probe(self, x: Features, y: Index, n_classes: int) -> FittedProbe:
        """Take the class means."""
        settings = NcmSettings(metric=(self.metric,), temper="loo", normalise=self.normalise)
        return NCM.fit(x, y, x[:1], y[:1], n_classes=n_classes, seed=0, settings=settings)


@dataclass(eq=False, repr=False, kw_only=True)
class RidgeProbe(ProbeEstimator):
    """Ridge regression onto class indicators, lambda chosen by exact leave-one-out; see `ridge`."""

    lambdas: tuple[float, ...] = GRID
    bias: float | None = None
    normalise: Normalise = "zscore"

    def fit_probe(self, x: Features, y: Index, n_classes: int) -> FittedProbe:
        """Solve for every lambda and keep the best."""
        settings = RidgeSettings(lambdas=tuple(self.lambdas), select="loo", bias=self.bias, normalise=self.normalise)
        return RIDGE.fit(x, y, x[:1], y[:1], n_classes=n_classes, seed=0, settings=settings)


@dataclass(eq=False, repr=False)
class LogisticProbe(ProbeEstimator):
    """Logistic regression; see `logistic`.

    `C=None` chooses among `path` on a stratified fifth of the data drawn with `random_state`, and needs two images of
    each class for it; that C is fitted again on all.
    """

    C: float | None = 1.0
    _: KW_ONLY
    path: tuple[float, ...] = paths.GRID
    normalise: Normalise = "zscore"
    random_state: int = 0

    def fit_probe(self, x: Features, y: Index, n_classes: int) -> FittedProbe:
        """Fit with this C; without one, choose it on a part of the data and fit it again on all."""
        grid = tuple(self.path) if self.C is None else (self.C,)
        settings = LogisticSettings(c=grid, normalise=self.normalise, refit=self.C is None)
        train, val = slice(None), slice(1)
        if self.C is None:
            size = max(round(VALIDATION_SHARE * len(x)), n_classes)
            cut = StratifiedShuffleSplit(1, test_size=size, random_state=self.random_state)
            train, val = next(cut.split(x, y))
        return LOGISTIC.fit(x[train], y[train], x[val], y[val], n_classes=n_classes, seed=0, settings=settings)
