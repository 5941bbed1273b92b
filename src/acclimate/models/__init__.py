"""Models and their features: names and files -> Backbone; Backbone and Images -> Features.

Each name is imported when it is first used, so that a command that needs no network never imports torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from acclimate.models.backbone import Backbone as Backbone
    from acclimate.models.backbone import Preprocess as Preprocess
    from acclimate.models.device import Precision as Precision
    from acclimate.models.device import autocast as autocast
    from acclimate.models.device import choose_device as choose_device
    from acclimate.models.device import choose_precision as choose_precision
    from acclimate.models.features.extract import extract as extract
    from acclimate.models.features.extract import extract_taps as extract_taps
    from acclimate.models.features.forward import to_batch as to_batch
    from acclimate.models.layers import tapped_widths as tapped_widths
    from acclimate.models.load.build import create as create
    from acclimate.models.load.build import digest as digest
    from acclimate.models.load.build import from_module as from_module
    from acclimate.models.load.names import load_backbone as load_backbone
    from acclimate.models.load.weights import load_strictly as load_strictly
    from acclimate.models.load.weights import read_weights as read_weights
    from acclimate.models.load.weights import save_weights as save_weights
    from acclimate.models.network import layer_names as layer_names
    from acclimate.models.taps import DEFAULT as DEFAULT
    from acclimate.models.taps import LAST as LAST
    from acclimate.models.taps import Tap as Tap

_NAMES = {
    "backbone": ("Backbone", "Preprocess"),
    "device": ("Precision", "autocast", "choose_device", "choose_precision"),
    "features.extract": ("extract", "extract_taps"),
    "features.forward": ("to_batch",),
    "layers": ("tapped_widths",),
    "load.build": ("create", "digest", "from_module"),
    "load.names": ("load_backbone",),
    "load.weights": ("load_strictly", "read_weights", "save_weights"),
    "network": ("layer_names",),
    "taps": ("DEFAULT", "LAST", "Tap"),
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names}

__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'acclimate.models' has no attribute '{name}'")
    return getattr(importlib.import_module(f"acclimate.models.{_HOMES[name]}"), name)
