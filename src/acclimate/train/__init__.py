"""Training: THE loop, exact resume, and the recipes that run on it."""

from acclimate.train.build import plan, prepare_stage
from acclimate.train.checkpoint import FILE as CHECKPOINT
from acclimate.train.job import Job, Progress, StageReport, Trained
from acclimate.train.run import probabilities, train
from acclimate.train.watch import Embed, Look, Watch

__all__ = [
    "CHECKPOINT",
    "Embed",
    "Job",
    "Look",
    "Progress",
    "StageReport",
    "Trained",
    "Watch",
    "plan",
    "prepare_stage",
    "probabilities",
    "train",
]
