"""What the verb ``tune`` trains: a recipe, or a preset that trains, at its scale."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acclimate.backbones import Backbone
from acclimate.errors import InputError, RecipeError
from acclimate.presets import Preset, RecipePart, check_scale, load_preset, scaled
from acclimate.protocols import Setting, budgeted, is_preset, run_preset, run_recipe
from acclimate.recipe import Recipe, load_recipe
from acclimate.results import Result


@dataclass(frozen=True)
class Training:
    """What was asked for, checked.

    Attributes
    ----------
    recipe
        What is trained; of a preset that tries several settings the first of them, for plans.
    preset
        The preset at full length, if it is one.
    """

    recipe: Recipe
    preset: Preset | None
    scale: float

    @classmethod
    def of(cls, name: str, scale: float) -> Training:
        """Check a name and a scale before any image is read."""
        check_scale(scale)
        if not is_preset(name):
            if scale != 1:
                raise RecipeError(f"got scale {scale} for '{name}', which is no preset; expected a preset, or scale 1")
            return cls(load_recipe(name), None, scale)
        preset = load_preset(name)
        part = scaled(preset, scale).part
        if not isinstance(part, RecipePart):
            raise InputError(f"'{name}' trains nothing; expected a recipe, or: acclimate score --score {name}")
        return cls(scaled(preset, scale).recipe_at(part.points()[0]), preset, scale)

    @property
    def points(self) -> int:
        """How many settings validation chooses from; 1 where nothing is chosen."""
        if self.preset is None:
            return 1
        part = scaled(self.preset, self.scale).part
        return len(part.points()) if isinstance(part, RecipePart) else 1

    def budgeted(self, setting: Setting) -> Setting:
        """Return the setting with the preset's own label budget, if it has one."""
        part = None if self.preset is None else self.preset.part
        if self.preset is None or not isinstance(part, RecipePart):
            return setting
        return budgeted(setting, self.preset.name, part.labels)

    def priced(self, plan: dict[str, Any]) -> dict[str, Any]:
        """Return a plan whose expected seconds are those of every setting that is tried, and of the one taken again."""
        trainings = self.points + 1 if self.points > 1 else 1
        stages = [{**stage, "expected_seconds": stage["expected_seconds"] * trainings} for stage in plan["stages"]]
        return {**plan, "stages": stages, "expected_seconds": round(plan["expected_seconds"] * trainings, 4)}

    def run(self, setting: Setting, backbone: Backbone, folder: Path) -> Result:
        """Train in a folder and return the row."""
        if self.preset is None:
            return run_recipe(setting, backbone, self.recipe, folder)
        return run_preset(setting, backbone, self.preset, folder, scale=self.scale)
