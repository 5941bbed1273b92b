"""Logistic regression over a path of penalties, and the solver behind it."""

from acclimate.scores.probes.logistic.paths import GRID, LogisticSettings
from acclimate.scores.probes.logistic.probe import LOGISTIC, Logistic, fit
from acclimate.scores.probes.logistic.subsets import fit_draws, fit_many
from acclimate.scores.probes.logistic.twin import LogisticTwin

__all__ = ["GRID", "LOGISTIC", "Logistic", "LogisticSettings", "LogisticTwin", "fit", "fit_draws", "fit_many"]
