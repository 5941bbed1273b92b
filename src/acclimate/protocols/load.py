"""Presets from their files: those that ship with the program, by name, and a user's own TOML file."""

from __future__ import annotations

import tomllib
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ValidationError

from acclimate.catalogue.messages import complaint
from acclimate.errors import RecipeError, unknown
from acclimate.protocols.schema import Preset, RecipePart, ScorePart
from acclimate.scores.probes.episodes import EpisodeSettings
from acclimate.training.recipe import Stage

SUFFIX: Final = ".toml"
MARKS: Final = frozenset({"score", "recipe", "episodes", "deviations"})  # keys of a preset that no recipe has
TABLES: Final[dict[str, type[BaseModel]]] = {
    "score": ScorePart,
    "recipe": RecipePart,
    "episodes": EpisodeSettings,
    "stages": Stage,
}


def preset_names() -> tuple[str, ...]:
    """Return the names of the presets that ship with the program, sorted."""
    return tuple(sorted(_files()))


def load_preset(preset: str | Path | Preset) -> Preset:
    """Return a preset by its name or from a TOML file.

    Raises
    ------
    RecipeError
        For an unknown name (the nearest one is named), an unreadable file, or a setting that cannot be.
    """
    if isinstance(preset, Preset):
        return preset
    text, files = str(preset), _files()
    if text in files:
        return read_preset(files[text].read_text(encoding="utf-8"), where=f"'{text}'", name=text)
    if Path(text).is_file():
        return read_preset(Path(text).read_text(encoding="utf-8"), where=f"'{text}'")
    raise RecipeError(f"{unknown('preset', text, files)}, or a TOML file")


def read_preset(text: str, *, where: str, name: str | None = None) -> Preset:
    """Check a preset given as TOML; ``name`` is what its file says it is.

    Raises
    ------
    RecipeError
        With the place and the first thing that is wrong.
    """
    try:
        preset = Preset.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"preset {where} is not valid TOML: {error}") from None
    except ValidationError as error:
        raise RecipeError(f"preset {where}: {complaint(error, Preset, TABLES)}") from None
    if name is not None and preset.name != name:
        raise RecipeError(f"preset {where} says name '{preset.name}'; expected the name of its file, '{name}'")
    return preset


def _files() -> dict[str, Traversable]:
    """Return the file of each preset by its name: ``NAME.toml`` and ``FAMILY/NAME.toml``."""
    found: dict[str, Traversable] = {}
    for entry in resources.files("acclimate").joinpath("catalogue", "protocols").iterdir():
        if entry.is_dir():
            found |= {f"{entry.name}/{_stem(f)}": f for f in entry.iterdir() if f.name.endswith(SUFFIX)}
        elif entry.name == "vtab1k.toml":
            found[_stem(entry)] = entry
    return found


def _stem(file: Traversable) -> str:
    return file.name.removesuffix(SUFFIX)
