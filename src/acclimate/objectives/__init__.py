"""Losses. A new one is one file and one line in ``OBJECTIVES``."""

from typing import Any

from acclimate.objectives.barlow import Barlow, BarlowSettings
from acclimate.objectives.base import Objective, ObjectiveSettings, Paper
from acclimate.objectives.byol import BYOL, BYOLSettings
from acclimate.objectives.dino import DINO, DINOSettings
from acclimate.objectives.mae import MAE, MAESettings
from acclimate.objectives.moco_v2 import MoCoV2, MoCoV2Settings
from acclimate.objectives.moco_v3 import MoCoV3, MoCoV3Settings
from acclimate.objectives.norm_stats import NormStats, NormStatsSettings
from acclimate.objectives.rotation import Rotation, RotationSettings
from acclimate.objectives.simclr import SimCLR, SimCLRSettings
from acclimate.objectives.simsiam import SimSiam, SimSiamSettings
from acclimate.objectives.supervised import Supervised, SupervisedSettings
from acclimate.objectives.swav import SwAV, SwAVSettings
from acclimate.objectives.vicreg import VICReg, VICRegSettings

# name -> (objective, its settings): the objective is built from an instance of its own settings
OBJECTIVES: dict[str, tuple[type[Any], type[ObjectiveSettings]]] = {
    "supervised": (Supervised, SupervisedSettings),
    "byol": (BYOL, BYOLSettings),
    "simsiam": (SimSiam, SimSiamSettings),
    "simclr": (SimCLR, SimCLRSettings),
    "moco-v2": (MoCoV2, MoCoV2Settings),
    "moco-v3": (MoCoV3, MoCoV3Settings),
    "barlow": (Barlow, BarlowSettings),
    "vicreg": (VICReg, VICRegSettings),
    "swav": (SwAV, SwAVSettings),
    "dino": (DINO, DINOSettings),
    "mae": (MAE, MAESettings),
    "rotation": (Rotation, RotationSettings),
    "norm-stats": (NormStats, NormStatsSettings),
}

__all__ = [
    "BYOL",
    "DINO",
    "MAE",
    "OBJECTIVES",
    "BYOLSettings",
    "Barlow",
    "BarlowSettings",
    "DINOSettings",
    "MAESettings",
    "MoCoV2",
    "MoCoV2Settings",
    "MoCoV3",
    "MoCoV3Settings",
    "NormStats",
    "NormStatsSettings",
    "Objective",
    "ObjectiveSettings",
    "Paper",
    "Rotation",
    "RotationSettings",
    "SimCLR",
    "SimCLRSettings",
    "SimSiam",
    "SimSiamSettings",
    "Supervised",
    "SupervisedSettings",
    "SwAV",
    "SwAVSettings",
    "VICReg",
    "VICRegSettings",
]
