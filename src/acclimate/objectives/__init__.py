"""Losses. A new one is one file and one line in ``OBJECTIVES``."""

from typing import Any

from acclimate.objectives.base import Objective, Paper, Settings
from acclimate.objectives.byol import BYOL, BYOLSettings
from acclimate.objectives.supervised import Supervised, SupervisedSettings

# name -> (objective, its settings): the objective is built from an instance of its own settings
OBJECTIVES: dict[str, tuple[type[Any], type[Settings]]] = {
    "supervised": (Supervised, SupervisedSettings),
    "byol": (BYOL, BYOLSettings),
}

__all__ = ["BYOL", "OBJECTIVES", "BYOLSettings", "Objective", "Paper", "Settings", "Supervised", "SupervisedSettings"]
