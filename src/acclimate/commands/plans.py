"""What a dry run of a training says: its stages, what they train and how long they will take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acclimate.commands.data import counts
from acclimate.commands.shared import Document

if TYPE_CHECKING:
    from acclimate.models import Backbone
    from acclimate.protocols import Task
    from acclimate.storage.runtime import Runtime
    from acclimate.training.recipe import Recipe


def training_plan(task: Task, backbone: Backbone, runtime: Runtime, recipe: Recipe, *, trainings: int = 1) -> Document:
    """Return the part of the document that plans so many trainings of a recipe."""
    from acclimate.protocols import job_of
    from acclimate.training import expected_stages

    parts = expected_stages(job_of(task, backbone, runtime, recipe))
    stages = [
        {
            **stage.model_dump(exclude_none=True),
            "trainable": part.trainable,
            "total": part.total,
            "expected_seconds": part.seconds * trainings,
        }
        for stage, part in zip(recipe.stages, parts, strict=True)
    ]
    return {
        "dry_run": True,
        "model": backbone.name,
        "random_start": backbone.random_start,
        "recipe": recipe.name,
        "images": counts(task.images, task.split),
        "stages": stages,
        "expected_seconds": round(round(sum(part.seconds for part in parts), 4) * trainings, 4),
    }
