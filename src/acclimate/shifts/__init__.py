"""What training changed inside a network: two states of one architecture on the same images, layer by layer."""

from acclimate.shifts.affine import Change, changes
from acclimate.shifts.compare import LEVEL, RESAMPLES, compare, draws
from acclimate.shifts.record import record
from acclimate.shifts.similarity import FEWEST
from acclimate.shifts.words import sentences

__all__ = ["FEWEST", "LEVEL", "RESAMPLES", "Change", "changes", "compare", "draws", "record", "sentences"]
