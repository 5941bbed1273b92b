"""Scores: functions of cached features that need no gradient of the backbone.

`probes` are classifiers, judged on held-out images; `estimates` are numbers from the training images alone. The
estimates have a face of their own, `acclimate.scores.estimates`: they need scipy, which takes a second to import.
"""

from acclimate.scores.base import FittedProbe as FittedProbe
from acclimate.scores.base import ProbeSettings as ProbeSettings
from acclimate.scores.probes import PROBES as PROBES
from acclimate.scores.probes.episodes import EpisodeSettings as EpisodeSettings
from acclimate.scores.probes.episodes import episodes as episodes
from acclimate.scores.probes.knn import KnnSettings as KnnSettings
from acclimate.scores.probes.logistic import Logistic as Logistic
from acclimate.scores.probes.logistic import LogisticSettings as LogisticSettings
from acclimate.scores.probes.logistic import fit_draws as fit_draws
from acclimate.scores.probes.logistic import fit_many as fit_many
from acclimate.scores.probes.ncm import NcmSettings as NcmSettings
from acclimate.scores.probes.ridge import RidgeSettings as RidgeSettings
