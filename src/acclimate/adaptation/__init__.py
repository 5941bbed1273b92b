"""Adapting without doing harm."""

from acclimate.adaptation.guard import Guard
from acclimate.adaptation.monitors import agreement, feature_std, neighbour_overlap, rankme
from acclimate.adaptation.run import Adapted, State, adapt

__all__ = ["Adapted", "Guard", "State", "adapt", "agreement", "feature_std", "neighbour_overlap", "rankme"]
