"""Training: THE loop, exact resume, and the recipes that run on it."""

from acclimate.training.build import plan as plan
from acclimate.training.build import prepare_stage as prepare_stage
from acclimate.training.checkpoint import CHECKPOINT as CHECKPOINT
from acclimate.training.job import Job as Job
from acclimate.training.job import StageReport as StageReport
from acclimate.training.job import Trained as Trained
from acclimate.training.run import probabilities as probabilities
from acclimate.training.run import train as train
from acclimate.training.watch import Embed as Embed
from acclimate.training.watch import Look as Look
from acclimate.training.watch import Watch as Watch
