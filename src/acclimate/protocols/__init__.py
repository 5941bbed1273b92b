"""Protocols: named, cited ways to measure a model on (data, seed) -> one result row, with the same numbers for all."""

from __future__ import annotations

from acclimate.protocols.episodes import EpisodesProtocol
from acclimate.protocols.find import find_protocol, find_training, protocol_names, protocol_of
from acclimate.protocols.probe import ProbeProtocol
from acclimate.protocols.protocol import Protocol
from acclimate.protocols.recipe import RecipeProtocol
from acclimate.protocols.row import Outcome, peak_memory_mb, result_row
from acclimate.protocols.run import RUN, close_run, is_finished, run_recipe
from acclimate.protocols.task import Stated, Task, job_of

__all__ = [
    "RUN",
    "EpisodesProtocol",
    "Outcome",
    "ProbeProtocol",
    "Protocol",
    "RecipeProtocol",
    "Stated",
    "Task",
    "close_run",
    "find_protocol",
    "find_training",
    "is_finished",
    "job_of",
    "peak_memory_mb",
    "protocol_names",
    "protocol_of",
    "result_row",
    "run_recipe",
]
