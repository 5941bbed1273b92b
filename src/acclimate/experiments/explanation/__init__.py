"""What training changed inside a network: two states of one architecture on the same images, layer by layer."""

from acclimate.experiments.explanation.affine import Change, changes
from acclimate.experiments.explanation.compare import RESAMPLES, compare, draws
from acclimate.experiments.explanation.record import record
from acclimate.experiments.explanation.similarity import FEWEST
from acclimate.experiments.explanation.words import sentences
from acclimate.stats import LEVEL

__all__ = ["FEWEST", "LEVEL", "RESAMPLES", "Change", "changes", "compare", "draws", "record", "sentences"]
