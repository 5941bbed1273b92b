"""What the verb ``tune`` trains: a recipe, or a preset that trains, at its scale."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acclimate.errors import InputError, RecipeError
from acclimate.models import Backbone
from acclimate.protocols import Task, budgeted, for_network, is_preset, run_preset, run_recipe
from acclimate.protocols.load import load_preset
from acclimate.protocols.scale import check_scale, scaled
from acclimate.protocols.schema import Preset, RecipePart
from acclimate.storage.results import Result
from acclimate.storage.runtime import Runtime
from acclimate.training.recipe import Recipe, load_recipe


@dataclass(frozen=True)
class Training:
    """What was asked for, checked: a recipe, or a preset at its full length with the scale that shortens it."""

    asked: Recipe | Preset
    scale: float

    @classmethod
    def of(cls, name: str, scale: float) -> Training:
        """Check a name and a scale before any image is read.

        Raises
        ------
        RecipeError, InputError
            For an unknown name (the nearest is named), a preset that trains nothing, or a scale that cannot be.
        """
        check_scale(scale)
        if is_preset(name, "recipe"):
            preset = load_preset(name)
            if preset.kind != "recipe":
                raise InputError(f"'{name}' trains nothing; expected a recipe, or: acclimate score --score {name}")
            return cls(preset, scale)
        if scale != 1:
            raise RecipeError(f"got scale {scale} for '{name}', which is no preset; expected a preset, or scale 1")
        return cls(load_recipe(name), scale)

    def recipes(self, backbone: Backbone) -> list[Recipe]:
        """Return what is trained on this network: of a preset that tries several settings, each of them."""
        if isinstance(self.asked, Recipe):
            return [self.asked]
        shorter = scaled(for_network(self.asked, backbone), self.scale)
        assert isinstance(shorter.part, RecipePart)
        return [shorter.recipe_at(point) for point in shorter.part.points()]

    def budgeted(self, task: Task) -> Task:
        """Return the task with the preset's own label budget, if it has one."""
        if isinstance(self.asked, Recipe) or not isinstance(self.asked.part, RecipePart):
            return task
        return budgeted(task, self.asked.name, self.asked.part.labels, self.asked.part.examples)

    def run(self, task: Task, backbone: Backbone, runtime: Runtime, folder: Path) -> Result:
        """Train in a folder and return the row."""
        if isinstance(self.asked, Recipe):
            return run_recipe(task, backbone, runtime, self.asked, folder)
        return run_preset(task, backbone, runtime, self.asked, folder, scale=self.scale)


def priced(plan: dict[str, Any], trainings: int) -> dict[str, Any]:
    """Return a plan whose expected seconds are those of so many trainings."""
    stages = [{**stage, "expected_seconds": stage["expected_seconds"] * trainings} for stage in plan["stages"]]
    return {**plan, "stages": stages, "expected_seconds": round(plan["expected_seconds"] * trainings, 4)}
