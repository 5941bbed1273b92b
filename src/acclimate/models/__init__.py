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

_HOMES = {
    "DEFAULT": "taps",
    "LAST": "taps",
    "Backbone": "backbone",
    "Precision": "device",
    "Preprocess": "backbone",
    "Tap": "taps",
    "autocast": "device",
    "choose_device": "device",
    "choose_precision": "device",
    "create": "load.build",
    "digest": "load.build",
    "extract": "features.extract",
    "extract_taps": "features.extract",
    "from_module": "load.build",
    "layer_names": "network",
    "load_backbone": "load.names",
    "load_strictly": "load.weights",
    "read_weights": "load.weights",
    "save_weights": "load.weights",
    "tapped_widths": "layers",
    "to_batch": "features.forward",
}

__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'acclimate.models' has no attribute '{name}'")
    return getattr(importlib.import_module(f"acclimate.models.{_HOMES[name]}"), name)
