"""Losses. A new one is one file and one line in ``OBJECTIVES``.

An objective is imported when it is first looked up: most need torch, and several need lightly.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from acclimate.objectives.base import Objective, ObjectiveSettings, Paper

if TYPE_CHECKING:
    from acclimate.objectives.barlow import Barlow as Barlow
    from acclimate.objectives.barlow import BarlowSettings as BarlowSettings
    from acclimate.objectives.byol import BYOL as BYOL
    from acclimate.objectives.byol import BYOLSettings as BYOLSettings
    from acclimate.objectives.dino import DINO as DINO
    from acclimate.objectives.dino import DINOSettings as DINOSettings
    from acclimate.objectives.mae import MAE as MAE
    from acclimate.objectives.mae import MAESettings as MAESettings
    from acclimate.objectives.moco_v2 import MoCoV2 as MoCoV2
    from acclimate.objectives.moco_v2 import MoCoV2Settings as MoCoV2Settings
    from acclimate.objectives.moco_v3 import MoCoV3 as MoCoV3
    from acclimate.objectives.moco_v3 import MoCoV3Settings as MoCoV3Settings
    from acclimate.objectives.norm_stats import NormStats as NormStats
    from acclimate.objectives.norm_stats import NormStatsSettings as NormStatsSettings
    from acclimate.objectives.rotation import Rotation as Rotation
    from acclimate.objectives.rotation import RotationSettings as RotationSettings
    from acclimate.objectives.simclr import SimCLR as SimCLR
    from acclimate.objectives.simclr import SimCLRSettings as SimCLRSettings
    from acclimate.objectives.simsiam import SimSiam as SimSiam
    from acclimate.objectives.simsiam import SimSiamSettings as SimSiamSettings
    from acclimate.objectives.supervised import Supervised as Supervised
    from acclimate.objectives.supervised import SupervisedSettings as SupervisedSettings
    from acclimate.objectives.swav import SwAV as SwAV
    from acclimate.objectives.swav import SwAVSettings as SwAVSettings
    from acclimate.objectives.vicreg import VICReg as VICReg
    from acclimate.objectives.vicreg import VICRegSettings as VICRegSettings


class Objectives(Mapping[str, tuple[type[Any], type[ObjectiveSettings]]]):
    """Name -> (objective, its settings): the objective is built from an instance of its own settings."""

    def __init__(self, places: Mapping[str, tuple[str, str]]) -> None:
        self._places = places

    def __getitem__(self, name: str) -> tuple[type[Any], type[ObjectiveSettings]]:
        """Return the classes of a name."""
        module, objective = self._places[name]
        file = importlib.import_module(f"acclimate.objectives.{module}")
        return getattr(file, objective), getattr(file, f"{objective}Settings")

    def __iter__(self) -> Iterator[str]:
        """Return the names in order."""
        return iter(self._places)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._places)

    def homes(self) -> dict[str, str]:
        """Return the file of every class, by the name of the class."""
        return {name + end: file for file, name in self._places.values() for end in ("", "Settings")}


# name -> (file, objective); its settings are called so with "Settings" behind
OBJECTIVES = Objectives(
    {
        "supervised": ("supervised", "Supervised"),
        "byol": ("byol", "BYOL"),
        "simsiam": ("simsiam", "SimSiam"),
        "simclr": ("simclr", "SimCLR"),
        "moco-v2": ("moco_v2", "MoCoV2"),
        "moco-v3": ("moco_v3", "MoCoV3"),
        "barlow": ("barlow", "Barlow"),
        "vicreg": ("vicreg", "VICReg"),
        "swav": ("swav", "SwAV"),
        "dino": ("dino", "DINO"),
        "mae": ("mae", "MAE"),
        "rotation": ("rotation", "Rotation"),
        "norm-stats": ("norm_stats", "NormStats"),
    }
)

_HOMES = OBJECTIVES.homes()

__all__ = ["OBJECTIVES", "Objective", "ObjectiveSettings", "Objectives", "Paper", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'acclimate.objectives' has no attribute '{name}'")
    return getattr(importlib.import_module(f"acclimate.objectives.{_HOMES[name]}"), name)
