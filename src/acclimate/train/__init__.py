"""Training: THE loop, exact resume, and the recipes that run on it."""

from acclimate.train.checkpoint import FILE as CHECKPOINT
from acclimate.train.run import Job, Progress, StageReport, Trained, plan, probabilities, train

__all__ = ["CHECKPOINT", "Job", "Progress", "StageReport", "Trained", "plan", "probabilities", "train"]
