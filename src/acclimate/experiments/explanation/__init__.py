"""What training changed inside a network: two states of one architecture on the same images, layer by layer."""

from acclimate.experiments.explanation.affine import Change, changes
from acclimate.experiments.explanation.compare import RESAMPLES, compare, draws
from acclimate.experiments.explanation.record import record
from acclimate.experiments.explanation.run import (
    Sample,
    compare_models,
    finished_run,
    own_data,
    require_unchanged,
    sample,
    start_model,
    trained_model,
)
from acclimate.experiments.explanation.similarity import FEWEST
from acclimate.experiments.explanation.words import sentences
from acclimate.stats import LEVEL

__all__ = [
    "FEWEST",
    "LEVEL",
    "RESAMPLES",
    "Change",
    "Sample",
    "changes",
    "compare",
    "compare_models",
    "draws",
    "finished_run",
    "own_data",
    "record",
    "require_unchanged",
    "sample",
    "sentences",
    "start_model",
    "trained_model",
]
