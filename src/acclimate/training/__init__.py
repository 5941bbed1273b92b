"""Training: THE loop, exact resume, and the recipes that run on it."""

from acclimate.training.build import plan, prepare_stage
from acclimate.training.checkpoint import FILE as CHECKPOINT
from acclimate.training.job import Job, StageReport, Trained
from acclimate.training.run import probabilities, train
from acclimate.training.watch import Embed, Look, Watch

__all__ = [
    "CHECKPOINT",
    "Embed",
    "Job",
    "Look",
    "StageReport",
    "Trained",
    "Watch",
    "plan",
    "prepare_stage",
    "probabilities",
    "train",
]
