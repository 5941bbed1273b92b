"""What training changed inside a network: two states of one architecture on the same images, layer by layer."""

from acclimate.experiments.explanation.compare import RESAMPLES as RESAMPLES
from acclimate.experiments.explanation.compare import changes as changes
from acclimate.experiments.explanation.measures import FEWEST as FEWEST
from acclimate.experiments.explanation.run import compare_models as compare_models
from acclimate.experiments.explanation.run import finished_run as finished_run
from acclimate.experiments.explanation.run import own_data as own_data
from acclimate.experiments.explanation.run import require_unchanged as require_unchanged
from acclimate.experiments.explanation.run import sample as sample
from acclimate.experiments.explanation.run import start_model as start_model
from acclimate.experiments.explanation.run import trained_model as trained_model
from acclimate.stats import LEVEL as LEVEL
