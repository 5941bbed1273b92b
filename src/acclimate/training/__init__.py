"""Training: THE loop, exact resume, and the recipes that run on it. Each name is imported when it is first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from acclimate.training.build import plan as plan
    from acclimate.training.build import prepare_stage as prepare_stage
    from acclimate.training.checkpoint import CHECKPOINT as CHECKPOINT
    from acclimate.training.expectation import expected_stages as expected_stages
    from acclimate.training.expectation import remember_stages as remember_stages
    from acclimate.training.job import Embed as Embed
    from acclimate.training.job import Job as Job
    from acclimate.training.job import Look as Look
    from acclimate.training.job import StageReport as StageReport
    from acclimate.training.job import Trained as Trained
    from acclimate.training.job import Watch as Watch
    from acclimate.training.run import probabilities as probabilities
    from acclimate.training.run import train as train

_HOMES = {
    "CHECKPOINT": "checkpoint",
    "Embed": "job",
    "Job": "job",
    "Look": "job",
    "StageReport": "job",
    "Trained": "job",
    "Watch": "job",
    "expected_stages": "expectation",
    "plan": "build",
    "prepare_stage": "build",
    "probabilities": "run",
    "remember_stages": "expectation",
    "train": "run",
}

__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'acclimate.training' has no attribute '{name}'")
    return getattr(importlib.import_module(f"acclimate.training.{_HOMES[name]}"), name)
