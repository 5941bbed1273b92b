"""Any protocol by its name: a preset, a score, or a recipe by name or from a TOML file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from acclimate.errors import InputError, RecipeError, unknown
from acclimate.models import Backbone
from acclimate.models.network import family_of
from acclimate.protocols.budget import budget
from acclimate.protocols.choice import run_choice
from acclimate.protocols.fewshot import run_episodes
from acclimate.protocols.load import MARKS, load_preset, preset_names
from acclimate.protocols.run import run_recipe, run_score
from acclimate.protocols.scale import check_scale, scaled
from acclimate.protocols.schema import Preset, RecipePart
from acclimate.protocols.task import Stated, Task
from acclimate.scores import PROBES
from acclimate.scores.probes.episodes import EpisodeSettings
from acclimate.storage.results import Result, Results
from acclimate.storage.runtime import Runtime
from acclimate.training.recipe import load_recipe, recipe_names


def protocol_names() -> tuple[str, ...]:
    """Return every protocol: the presets, the scores that classify, the recipes. No name is there twice."""
    return (*preset_names(), *PROBES, *recipe_names())


def run_protocol(
    task: Task,
    backbone: Backbone,
    runtime: Runtime,
    name: str,
    folder: Path,
    results: Results | None = None,
    *,
    scale: float = 1.0,
) -> Result:
    """Run a protocol and return its row.

    Parameters
    ----------
    name
        A preset, a score, a recipe, or a TOML file of a preset or a recipe.
    folder
        Where a recipe trains; scores leave nothing there.
    results
        Where the row is kept, default in `folder`. A row that is there already is returned and nothing is done.
    scale
        In (0, 1]: shortens a preset, see `presets.scaled`. The row states it.

    Raises
    ------
    RecipeError
        For an unknown protocol (the nearest one is named), a scale out of range, or one below 1 for what is no preset.
    InputError
        When the folder holds another run; for a label budget where the preset has its own.
    """
    check_scale(scale)
    if is_preset(name):
        return run_preset(task, backbone, runtime, load_preset(name), folder, results, scale=scale)
    if scale != 1:
        raise RecipeError(f"got scale {scale} for '{name}', which is no preset; expected a preset, or scale 1")
    if name in PROBES:
        return run_score(task, backbone, runtime, name, results)
    if name in recipe_names() or Path(name).is_file():
        return run_recipe(task, backbone, runtime, load_recipe(name), folder, results)
    raise RecipeError(f"{unknown('protocol', name, protocol_names())}, or a TOML file")


def is_preset(name: str) -> bool:
    """Whether this is a preset's name, or a TOML file that has what only presets have."""
    if name in preset_names():
        return True
    if name in PROBES or name in recipe_names() or not Path(name).is_file():
        return False
    try:
        return not MARKS.isdisjoint(tomllib.loads(Path(name).read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        return False  # a recipe says what is wrong with it


def run_preset(
    task: Task,
    backbone: Backbone,
    runtime: Runtime,
    preset: Preset,
    folder: Path,
    results: Results | None = None,
    *,
    scale: float = 1.0,
) -> Result:
    """Run a preset and return its row, which states the settings as they ran, in full, and the scale."""
    results = results or Results(folder)
    if preset.kind != "recipe":
        return run_on_features(task, backbone, runtime, preset, results, scale=scale)
    shorter = scaled(for_network(preset, backbone), scale)
    part, stated = shorter.part, Stated(preset.name, stated_settings(shorter, scale))
    assert isinstance(part, RecipePart)
    own = budgeted(task, preset.name, part.labels, part.examples)
    if part.choose:
        return run_choice(own, backbone, runtime, shorter, folder, results, stated)
    return run_recipe(own, backbone, runtime, shorter.recipe_at({}), folder, results, stated=stated)


def run_on_features(
    task: Task,
    backbone: Backbone,
    runtime: Runtime,
    preset: Preset,
    results: Results | None = None,
    *,
    scale: float = 1.0,
) -> Result:
    """Run a preset of a score or of episodes and return its row; without `results` nothing is kept.

    Raises
    ------
    InputError
        For a preset that trains.
    """
    shorter = scaled(preset, scale)
    part, stated = shorter.part, Stated(preset.name, stated_settings(shorter, scale))
    if isinstance(part, EpisodeSettings):
        return run_episodes(task, backbone, runtime, part, results, stated)
    if isinstance(part, RecipePart):
        raise InputError(
            f"'{preset.name}' trains the model; expected a score, or: acclimate tune --recipe {preset.name}"
        )
    own = budgeted(task, preset.name, part.labels)
    return run_score(own, backbone, runtime, part.name, results, settings=part.checked(), stated=stated)


def for_network(preset: Preset, backbone: Backbone) -> Preset:
    """Return the preset as it is for the family of a network: one may set other values for transformers."""
    part = preset.part
    if not isinstance(part, RecipePart):
        return preset
    transformer = part.transformers and family_of(backbone.module) == "transformer"
    return preset.model_copy(update={"recipe": part.for_transformers() if transformer else part.for_others()})


def stated_settings(preset: Preset, scale: float) -> Mapping[str, Any]:
    """Return what a row says of a preset: its kind, everything that is set, and the scale."""
    return {"kind": preset.kind, **preset.stated(), "scale": float(scale)}


def budgeted(task: Task, name: str, labels: str | None, examples: int | None = None) -> Task:
    """Return the task with the label budget of a preset.

    Raises
    ------
    InputError
        When the task has another budget already.
    """
    text, labels = labels, labels if examples is None else f"{examples} in all"
    if labels in (None, task.labels):
        return task
    if task.labels is not None:
        raise InputError(
            f"got a label budget of {task.labels} for '{name}', which takes {labels} of the labels by itself; "
            "leave one of them out"
        )
    split = budget(task.images.labels, task.split, text, examples, seed=task.seed)
    return replace(task, split=split, labels=labels)
