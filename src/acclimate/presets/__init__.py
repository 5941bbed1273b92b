"""Evaluation protocols of the papers by name, as data: what exactly is run, its source, and where it deviates.

To add one: ``presets/FAMILY/NAME.toml``; the file is the entry, and its name is ``FAMILY/NAME``.
"""

from __future__ import annotations

from acclimate.presets.load import MARKS, load_preset, preset_names
from acclimate.presets.scale import check_scale, scaled
from acclimate.presets.schema import Point, Preset, RecipePart, ScorePart, checked_settings

__all__ = [
    "MARKS",
    "Point",
    "Preset",
    "RecipePart",
    "ScorePart",
    "check_scale",
    "checked_settings",
    "load_preset",
    "preset_names",
    "scaled",
]
