"""Losses. A new one is one file and one line in ``METHODS``.

A loss is imported when it is asked for. So its name can be told without torch, and a finetuning loads no other method.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from acclimate.errors import RecipeError, unknown

if TYPE_CHECKING:
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

__all__ = [
    "BYOL",
    "DINO",
    "MAE",
    "METHODS",
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
    "require_method",
]


def __getattr__(name: str) -> Any:
    if name not in _FILES:
        raise AttributeError(f"module 'acclimate.objectives' has no attribute '{name}'")
    return getattr(importlib.import_module(f"acclimate.objectives.{_FILES[name]}"), name)


def require_method(name: str) -> None:
    """Refuse a name that is no objective without labels; the nearest one is named."""
    if name not in METHODS:
        raise RecipeError(unknown("method", name, METHODS))
