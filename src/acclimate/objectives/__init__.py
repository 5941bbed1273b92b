"""Losses. A new one is one file and one line in ``OBJECTIVES``."""

from acclimate.objectives.base import Objective, Settings
from acclimate.objectives.byol import BYOL, BYOLSettings
from acclimate.objectives.supervised import Supervised, SupervisedSettings

OBJECTIVES: dict[str, tuple[type[Supervised] | type[BYOL], type[Settings]]] = {
    "supervised": (Supervised, SupervisedSettings),
    "byol": (BYOL, BYOLSettings),
}

__all__ = ["BYOL", "OBJECTIVES", "BYOLSettings", "Objective", "Settings", "Supervised", "SupervisedSettings"]
