"""Protocols: a score, a recipe or a preset on (model, data, seed) -> one result row, with the same numbers for all."""

from __future__ import annotations

from acclimate.protocols.load import MARKS, load_preset, preset_names
from acclimate.protocols.named import (
    budgeted,
    for_network,
    is_preset,
    protocol_names,
    run_on_features,
    run_preset,
    run_protocol,
)
from acclimate.protocols.row import peak_memory_mb
from acclimate.protocols.run import RUN, close_run, is_finished, run_recipe, run_score
from acclimate.protocols.scale import check_scale, scaled
from acclimate.protocols.schema import Point, Preset, RecipePart, ScorePart, checked_settings
from acclimate.protocols.task import Stated, Task, job_of

__all__ = [
    "MARKS",
    "RUN",
    "Point",
    "Preset",
    "RecipePart",
    "ScorePart",
    "Stated",
    "Task",
    "budgeted",
    "check_scale",
    "checked_settings",
    "close_run",
    "for_network",
    "is_finished",
    "is_preset",
    "job_of",
    "load_preset",
    "peak_memory_mb",
    "preset_names",
    "protocol_names",
    "run_on_features",
    "run_preset",
    "run_protocol",
    "run_recipe",
    "run_score",
    "scaled",
]
