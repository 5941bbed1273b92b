"""What the scikit-learn estimator of `logistic` adds to it: a validation part of its own."""

from __future__ import annotations

from typing import Final

from acclimate.scores.base import Features, Index
from acclimate.scores.probes.logistic.paths import GRID, LogisticSettings
from acclimate.scores.probes.logistic.probe import Logistic, fit
from acclimate.scores.probes.normalise import Normalise

VALIDATION_SHARE: Final = 0.2


class LogisticTwin:
    """Parameters and fit of `estimators.LogisticProbe`.

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

    def fit_probe(self, x: Features, y: Index, n_classes: int) -> Logistic:
        """Fit with this C; without one, choose it on a part of the data and fit it again on all."""
        from sklearn.model_selection import StratifiedShuffleSplit  # a slow import, needed only here

        grid = tuple(self.path) if self.C is None else (self.C,)
        settings = LogisticSettings(c=grid, normalise=self.normalise, refit=self.C is None)
        if self.C is not None:
            return fit(x, y, x[:1], y[:1], n_classes=n_classes, seed=0, settings=settings)
        size = max(round(VALIDATION_SHARE * len(x)), n_classes)
        cut = StratifiedShuffleSplit(1, test_size=size, random_state=self.random_state)
        train, val = next(cut.split(x, y))
        return fit(x[train], y[train], x[val], y[val], n_classes=n_classes, seed=0, settings=settings)
