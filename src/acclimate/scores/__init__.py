"""Scores: functions of cached features that need no gradient of the backbone.

To add one: a file here with a `fit` (see `base.ScoreFit`) and a line in `SCORES`; the contract tests then
cover it.
"""

from __future__ import annotations

from typing import Final

from acclimate.scores import knn, logistic
from acclimate.scores.base import Fitted, ScoreFit

__all__ = ["SCORES", "Fitted", "ScoreFit"]

SCORES: Final[dict[str, ScoreFit]] = {
    "knn": knn.fit,
    "logistic": logistic.fit,
}
