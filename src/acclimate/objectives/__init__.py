"""Losses. A new one is one file and one line in ``OBJECTIVES``."""

from typing import Any

from acclimate.objectives.barlow import Barlow as Barlow
from acclimate.objectives.barlow import BarlowSettings as BarlowSettings
from acclimate.objectives.base import Objective as Objective
from acclimate.objectives.base import ObjectiveSettings as ObjectiveSettings
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
