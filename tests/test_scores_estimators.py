"""The scikit-learn face of the scores: scikit-learn's own checks, and agreement with the scores behind it."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from conftest import ROOT
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from acclimate.scores.probes.estimators import KNNProbe, LogisticProbe, NearestMean, RidgeProbe

EVERY = [KNNProbe(5, metric="euclidean"), NearestMean(), RidgeProbe(), LogisticProbe()]
OTHERS = [KNNProbe(), NearestMean(metric="cosine"), LogisticProbe(None)]


@parametrize_with_checks(EVERY)
def test_scikit_learns_own_checks(estimator, check) -> None:
    check(estimator)


@pytest.mark.parametrize("probe", [*EVERY, *OTHERS], ids=repr)
def test_works_in_pipelines_and_cross_validation(probe) -> None:
    x, y = load_digits(return_X_y=True)
    names = np.array([f"digit {label}" for label in y])[:600]
    accuracies = cross_val_score(make_pipeline(StandardScaler(), probe), x[:600].astype(np.float32), names, cv=3)
    assert accuracies.min() > 0.75
    assert set(probe.fit(x[:600], names).predict(x[600:700])) <= set(names)


def test_settings_can_be_searched() -> None:
    x, y = load_digits(return_X_y=True)
    search = GridSearchCV(KNNProbe(), {"k": [1, 200], "metric": ["cosine", "euclidean"]}, cv=3).fit(x[:400], y[:400])
    assert search.best_params_["k"] == 1


def test_the_page_about_these_scores() -> None:
    page = ROOT / "docs" / "heldout.md"
    result = doctest.testfile(str(page), module_relative=False, optionflags=doctest.IGNORE_EXCEPTION_DETAIL)
    assert result.attempted > 15
    assert result.failed == 0
