"""Losses. A new one is one file and one line in ``METHODS``.

A loss is imported when it is asked for. So its name can be told without torch, and a finetuning loads no other method.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from acclimate.errors import RecipeError, unknown

if TYPE_CHECKING:
    from acclimate.objectives.barlow import Barlow as Barlow
    from acclimate.objectives.barlow import BarlowSettings as BarlowSettings
    from acclimate.objectives.base import Objective as Objective
    from acclimate.objectives.base import ObjectiveSettings as ObjectiveSettings
    from acclimate.objectives.base import Paper as Paper
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

# Name -> the file and the class in it. Its settings have the name of the class and "Settings".
SUPERVISION: Final = {"supervised": "supervised.Supervised"}
METHODS: Final = {  # those that need no labels
    "byol": "byol.BYOL",
    "simsiam": "simsiam.SimSiam",
    "simclr": "simclr.SimCLR",
    "moco-v2": "moco_v2.MoCoV2",
    "moco-v3": "moco_v3.MoCoV3",
    "barlow": "barlow.Barlow",
    "vicreg": "vicreg.VICReg",
    "swav": "swav.SwAV",
    "dino": "dino.DINO",
    "mae": "mae.MAE",
    "rotation": "rotation.Rotation",
    "norm-stats": "norm_stats.NormStats",
}


class ObjectiveTable(Mapping[str, tuple[type[Any], "type[ObjectiveSettings]"]]):
    """Name -> (objective, its settings): the objective is built from an instance of its own settings."""

    def __init__(self, places: Mapping[str, str]) -> None:
        self._places = places

    def __getitem__(self, name: str) -> tuple[type[Any], type[ObjectiveSettings]]:
        file, _, kind = self._places[name].partition(".")
        module = importlib.import_module(f"acclimate.objectives.{file}")
        return getattr(module, kind), getattr(module, f"{kind}Settings")

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


OBJECTIVES: Final = ObjectiveTable(SUPERVISION | METHODS)

_FILES: Final = dict.fromkeys(("Objective", "ObjectiveSettings", "Paper"), "base") | {
    f"{kind}{end}": file
    for file, _, kind in (place.partition(".") for place in (SUPERVISION | METHODS).values())
    for end in ("", "Settings")
}
__all__ = [*_FILES, "METHODS", "OBJECTIVES", "require_method"]


def __getattr__(name: str) -> Any:
    if name not in _FILES:
        raise AttributeError(f"module 'acclimate.objectives' has no attribute '{name}'")
    return getattr(importlib.import_module(f"acclimate.objectives.{_FILES[name]}"), name)


def require_method(name: str) -> None:
    """Refuse a name that is no objective without labels; the nearest one is named."""
    if name not in METHODS:
        raise RecipeError(unknown("method", name, METHODS))
