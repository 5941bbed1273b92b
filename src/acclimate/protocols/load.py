"""Presets from their files: those that ship with the program, by name, and a user's own TOML file."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from acclimate import catalogue
from acclimate.errors import RecipeError, complaint
from acclimate.protocols.schema import Preset

MARKS: Final = frozenset({"score", "recipe", "episodes", "deviations"})  # keys of a preset that no recipe has


@functools.cache
def preset_names() -> tuple[str, ...]:
    """Return the names of the presets that ship with the program, sorted."""
    return tuple(name for name, table in catalogue.tables("protocols").items() if "deviations" in table)


def load_preset(preset: str | Path | Preset) -> Preset:
    """Return a preset by its name or from a TOML file.

    Raises
    ------
    RecipeError
        For an unknown name (the nearest one is named), an unreadable file, or a setting that cannot be.
    """
    if isinstance(preset, Preset):
        return preset
    table = catalogue.read("protocols", preset, noun="preset")
    return read_preset(table.values, where=table.where, name=None if table.path else str(preset))


def read_preset(values: Mapping[str, Any], *, where: str, name: str | None = None) -> Preset:
    """Check a preset given as plain values; ``name`` is what its file says it is.

    Raises
    ------
    RecipeError
        With the place and the first thing that is wrong.
    """
    try:
        preset = Preset.model_validate(values)
    except ValidationError as error:
        raise RecipeError(f"preset {where}: {complaint(error, Preset)}") from None
    if name is not None and preset.name != name:
        raise RecipeError(f"preset {where} says name '{preset.name}'; expected the name of its file, '{name}'")
    return preset
