"""Logistic regression over a path of penalties, and the solver behind it."""

from acclimate.scores.probes.logistic.paths import LogisticSettings as LogisticSettings
from acclimate.scores.probes.logistic.probe import LOGISTIC as LOGISTIC
from acclimate.scores.probes.logistic.probe import Logistic as Logistic
from acclimate.scores.probes.logistic.probe import fit as fit
from acclimate.scores.probes.logistic.subsets import fit_draws as fit_draws
from acclimate.scores.probes.logistic.subsets import fit_many as fit_many
