"""Adapting without doing harm."""

from acclimate.experiments.adaptation.guard import Guard as Guard
from acclimate.experiments.adaptation.guard import agreement as agreement
from acclimate.experiments.adaptation.guard import feature_std as feature_std
from acclimate.experiments.adaptation.guard import neighbour_overlap as neighbour_overlap
from acclimate.experiments.adaptation.run import adapt as adapt
