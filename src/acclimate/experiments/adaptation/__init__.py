"""Adapting without doing harm."""

from acclimate.experiments.adaptation.guard import Guard
from acclimate.experiments.adaptation.monitors import agreement, feature_std, neighbour_overlap
from acclimate.experiments.adaptation.run import Adapted, State, adapt

__all__ = ["Adapted", "Guard", "State", "adapt", "agreement", "feature_std", "neighbour_overlap"]
