"""Scores: functions of cached features that need no gradient of the backbone.

`probes` are classifiers, judged on held-out images; `estimates` are numbers from the training images alone. The
estimates have a face of their own, `acclimate.scores.estimates`: they need scipy, which takes a second to import.
"""

from acclimate.scores.base import FittedProbe, Probe, ProbeFit, ProbeSettings
from acclimate.scores.probes import PROBES
from acclimate.scores.probes.episodes import Episodes, EpisodeSettings, episodes
from acclimate.scores.probes.knn import KnnSettings
from acclimate.scores.probes.logistic import Logistic, LogisticSettings, fit_draws, fit_many
from acclimate.scores.probes.ncm import NcmSettings
from acclimate.scores.probes.ridge import RidgeSettings

__all__ = [
    "PROBES",
    "EpisodeSettings",
    "Episodes",
    "FittedProbe",
    "KnnSettings",
    "Logistic",
    "LogisticSettings",
    "NcmSettings",
    "Probe",
    "ProbeFit",
    "ProbeSettings",
    "RidgeSettings",
    "episodes",
    "fit_draws",
    "fit_many",
]
