"""The probes as scikit-learn estimators: `fit`, `predict`, `predict_proba`, `score`, pipelines, cross-validation.

They need no validation part. `KNNProbe` and `LogisticProbe` take fixed settings; `LogisticProbe(C=None)` chooses C on a
stratified fifth of the data and fits that C again on all of it. `RidgeProbe` chooses lambda, and `RidgeProbe` and
`NearestMean` learn how sure to be, by leave-one-out. Everything else is as in the probe of the same name.

Parameters and fit of each stand in the file of its probe (its twin). Here they meet scikit-learn, whose import takes
seconds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Final

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from acclimate.scores.base import Features, FittedProbe, Float64, Index
from acclimate.scores.probes.knn import KnnTwin
from acclimate.scores.probes.logistic import LogisticTwin
from acclimate.scores.probes.ncm import NcmTwin
from acclimate.scores.probes.ridge import RidgeTwin

KINDS: Final = (np.float64, np.float32)


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


class KNNProbe(KnnTwin, ProbeEstimator):
    """k nearest neighbours with fixed settings; see `knn`. With fewer than `k` images all of them vote."""


class NearestMean(NcmTwin, ProbeEstimator):
    """Nearest class mean; see `ncm`."""


class RidgeProbe(RidgeTwin, ProbeEstimator):
    """Ridge regression onto class indicators, lambda chosen by exact leave-one-out; see `ridge`."""


class LogisticProbe(LogisticTwin, ProbeEstimator):
    """Logistic regression; see `logistic`. `C=None` chooses C, which needs two images of each class."""
