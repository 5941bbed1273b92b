"""The training of one recipe in a folder of its own -> one row, and what its ``run.json`` says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from acclimate.errors import InputError, RecipeError
from acclimate.images import clean_pool, require_classes
from acclimate.models import Backbone
from acclimate.protocols.row import Outcome, measured, result_row, run_document, stored_predictions
from acclimate.protocols.task import OUTPUT, Stated, Task, job_of
from acclimate.storage.results import Results
from acclimate.storage.runtime import Runtime
from acclimate.storage.store import write_atomic
from acclimate.training.recipe import Recipe

RUN: Final = "run.json"


def run_recipe(
    task: Task,
    backbone: Backbone,
    runtime: Runtime,
    recipe: Recipe,
    folder: Path,
    results: Results | None = None,
    *,
    stated: Stated | None = None,
) -> Outcome:
    """Train a recipe in ``folder``, leave the finished classifier there and return its row and its stages.

    A stage without labels sees the pool without its near-duplicates of validation and test images.

    Parameters
    ----------
    results
        Where the row goes; default the run's own folder. A run that is finished already, with its row there, is
        returned as it is; one that was interrupted goes on.
    stated
        What the row says was run; default the recipe.

    Raises
    ------
    RecipeError
        When the recipe has no supervised stage, so that there is no classifier to measure.
    InputError
        When the folder holds another run.
    """
    results = results or Results(folder)
    if task.tap != OUTPUT:
        raise InputError(
            f"got features '{task.tap}' for a recipe; layer and pooling are choices of scores: leave them out"
        )
    if not recipe.supervised:
        raise RecipeError(
            f"recipe '{recipe.name}' ends without a classifier; expected a supervised last stage, or 'acclimate adapt'"
        )
    require_classes(task.images, task.split)
    if not all(stage.needs_labels for stage in recipe.stages):
        task = replace(task, split=clean_pool(task.images, task.split, cache=runtime.cache).split)
    job = job_of(task, backbone, runtime, recipe)
    stated = (stated or Stated(recipe.name, recipe.model_dump(mode="json"))).on(task)
    key, identity = task.key(backbone, stated), job.identity()
    if is_finished(folder, identity) and results.has(key):
        return Outcome(results.get(key), stages_of(folder))

    from acclimate.models.classifier import Classifier
    from acclimate.training import probabilities, remember_stages, train

    trained = train(job, folder)
    remember_stages(job, trained.reports)
    Classifier.of(trained.network, task.images.classes, backbone).save(folder)
    recipe.save(folder / "recipe.toml")
    by_part = {part: probabilities(trained.network, job, indices) for part, indices in task.evaluated().items()}
    seconds = sum(report.seconds for report in trained.reports)
    row = result_row(
        task,
        backbone,
        runtime,
        stated,
        measured(task, by_part),
        chosen=trained.chosen,
        trainable=trained.reports[-1].trainable,
        total=trained.reports[-1].total,
        seconds=seconds,
        images_per_second=sum(report.images for report in trained.reports) / max(seconds, 1e-9),
    )
    results.append(row, stored_predictions(task, by_part))
    document = run_document(task, backbone, recipe, trained, row, identity)
    close_run(folder, document)
    return Outcome(row, tuple(document["stages"]))


def is_finished(folder: Path, identity: str) -> bool:
    """Whether this very run is done in the folder.

    Raises
    ------
    InputError
        When another run is done there.
    """
    document = _document(folder)
    if not document:
        return False
    if document.get("identity") == identity:
        return True
    raise InputError(
        f"'{folder}' holds a finished run with another recipe, data, model or seed; choose another --out, or delete it"
    )


def stages_of(folder: Path) -> tuple[Mapping[str, Any], ...]:
    """Return what the stages of the run in a folder did; nothing where none is finished."""
    return tuple(_document(folder).get("stages", ()))


def _document(folder: Path) -> dict[str, Any]:
    path = folder / RUN
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return document


def close_run(folder: Path, document: Mapping[str, Any]) -> None:
    """Write ``run.json``, then drop the checkpoint: until the former is there, a killed run needs the latter."""
    from acclimate.training import CHECKPOINT

    write_atomic(folder / RUN, json.dumps(document, indent=1))
    (folder / CHECKPOINT).unlink(missing_ok=True)
