"""Scores: functions of cached features that need no gradient of the backbone.

To add one: a file here with its `Settings` and a `fit` (see `base.ScoreFit`), and an entry of `SCORES`; the contract
tests then cover it. `episodes` is no classifier and stands beside them.
"""

from __future__ import annotations

from typing import Any, Final

from acclimate.scores.base import Fitted, Score, ScoreFit, Settings
from acclimate.scores.probes import knn, ncm, ridge
from acclimate.scores.probes.logistic import probe as logistic

__all__ = ["SCORES", "Fitted", "Score", "ScoreFit", "Settings"]

SCORES: Final[dict[str, Score[Any]]] = {
    "knn": Score(
        knn.fit,
        knn.KnnSettings,
        "Accuracy of the vote of the most similar training images: how well classes form neighbourhoods already.",
        laws=frozenset({"order", "labels", "columns", "rotation", "scale"}),
    ),
    "ncm": Score(
        ncm.fit,
        ncm.NcmSettings,
        "Accuracy of the nearest class mean: how well each class forms one cluster, with hardly anything fitted.",
        laws=frozenset({"order", "labels", "columns", "rotation", "scale"}),
    ),
    "ridge": Score(
        ridge.fit,
        ridge.RidgeSettings,
        "Accuracy of a linear classifier in closed form: nearly a linear probe's, at a fraction of the time.",
        laws=frozenset({"order", "labels", "columns", "shift", "scale"}),
    ),
    "logistic": Score(
        logistic.fit,
        logistic.LogisticSettings,
        "Accuracy of a linear classifier with the best ridge: what a linear probe of the frozen model reaches.",
        laws=frozenset({"order", "labels", "columns", "shift", "scale"}),
    ),
}
