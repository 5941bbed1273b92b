"""Protocols: a score, a recipe or a preset on (model, data, seed) -> one result row, with the same numbers for all."""

from __future__ import annotations

from acclimate.protocols.named import (
    budgeted,
    for_network,
    is_preset,
    protocol_names,
    run_on_features,
    run_preset,
    run_protocol,
)
from acclimate.protocols.rows import peak_memory_mb
from acclimate.protocols.run import RUN, close_run, is_finished, run_recipe, run_score
from acclimate.protocols.setting import Setting, Stated, job_of

__all__ = [
    "RUN",
    "Setting",
    "Stated",
    "budgeted",
    "close_run",
    "for_network",
    "is_finished",
    "is_preset",
    "job_of",
    "peak_memory_mb",
    "protocol_names",
    "run_on_features",
    "run_preset",
    "run_protocol",
    "run_recipe",
    "run_score",
]
