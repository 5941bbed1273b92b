"""A score or a recipe on (model, data, seed) -> one result row, with the same numbers for both."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from acclimate.errors import InputError, RecipeError, unknown
from acclimate.images import clean_pool, require_classes
from acclimate.models import Backbone
from acclimate.models.classifier import Classifier
from acclimate.protocols.row import Probabilities, kept_predictions, measured, result_row, run_document
from acclimate.protocols.task import OUTPUT, Stated, Task, job_of
from acclimate.scores import PROBES, FittedProbe, ProbeSettings
from acclimate.storage.results import Result, Results
from acclimate.storage.runtime import Runtime
from acclimate.storage.store import write_atomic
from acclimate.training import CHECKPOINT, probabilities, train
from acclimate.training.recipe import Recipe, load_recipe

RUN = "run.json"


def run_score(
    task: Task,
    backbone: Backbone,
    runtime: Runtime,
    name: str,
    results: Results | None = None,
    *,
    settings: ProbeSettings | None = None,
    stated: Stated | None = None,
) -> Result:
    """Fit a score on cached features of the training part and return its row.

    Parameters
    ----------
    results
        Where the row is kept. A row that is there already is returned and nothing is done.
    settings
        Of the score; default its own. With ``refit`` the validation numbers are those before it.
    stated
        What the row says was run; default the score with these settings.

    Raises
    ------
    RecipeError
        For an unknown score; the nearest one is named.
    """
    if name not in PROBES:
        raise RecipeError(unknown("score", name, PROBES))
    require_classes(task.images, task.split)
    settings = settings or PROBES[name].settings()
    stated = stated or Stated(name, {"settings": settings.model_dump(mode="json")})
    told = {**stated.settings, "features": str(task.tap.of(backbone.module)), "parts": list(task.evaluated())}
    key = task.key(backbone, stated.protocol, told)
    if results is not None and results.has(key):
        return results.get(key)
    started = time.perf_counter()
    by_part, chosen, images = _fit_score(task, backbone, runtime, name, settings)
    seconds = time.perf_counter() - started
    row = result_row(
        task,
        backbone,
        runtime,
        stated.protocol,
        measured(task, by_part),
        settings=told,
        chosen=chosen,
        trainable=0,
        total=backbone.parameters,
        seconds=seconds,
        images_per_second=images / max(seconds, 1e-9),
    )
    if results is not None:
        results.append(row, kept_predictions(task, by_part))
    return row


def _fit_score(
    task: Task, backbone: Backbone, runtime: Runtime, name: str, settings: ProbeSettings
) -> tuple[Probabilities, dict[str, Any], int]:
    """Return probabilities of each measured part, what validation chose, and the number of images used."""
    parts, split = task.evaluated(), task.split
    needed = np.concatenate([split.train, *parts.values()])
    features = task.features(backbone, runtime, needed)
    x, y = features.x, features.y

    def fit(settings: ProbeSettings) -> FittedProbe:
        train, val = split.train, split.val
        n_classes = len(task.images.classes)
        return PROBES[name].fit(
            x[train], y[train], x[val], y[val], n_classes=n_classes, seed=task.seed, settings=settings
        )

    fitted = fit(settings)
    by_part = {part: fitted.predict_proba(x[indices]) for part, indices in parts.items()}
    if getattr(settings, "refit", False):  # it has learned the validation images by now
        by_part["val"] = fit(settings.model_copy(update={"refit": False})).predict_proba(x[split.val])
    return by_part, dict(fitted.settings), len(needed)


def run_recipe(
    task: Task,
    backbone: Backbone,
    runtime: Runtime,
    recipe: Recipe | str,
    folder: Path,
    results: Results | None = None,
    *,
    stated: Stated | None = None,
) -> Result:
    """Train a recipe in ``folder``, leave the finished classifier there and return its row.

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
    recipe, results = load_recipe(recipe), results or Results(folder)
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
    stated = stated or Stated(recipe.name, recipe.model_dump(mode="json"))
    settings = {**stated.settings, "parts": list(task.evaluated())}
    key = task.key(backbone, stated.protocol, settings)
    if is_finished(folder, job.identity()) and results.has(key):
        return results.get(key)
    trained = train(job, folder)
    Classifier.of(trained.network, task.images.classes, backbone).save(folder)
    recipe.save(folder / "recipe.toml")
    by_part = {part: probabilities(trained.network, job, indices) for part, indices in task.evaluated().items()}
    seconds = sum(report.seconds for report in trained.reports)
    row = result_row(
        task,
        backbone,
        runtime,
        stated.protocol,
        measured(task, by_part),
        settings=settings,
        chosen=trained.chosen,
        trainable=trained.reports[-1].trainable,
        total=trained.reports[-1].total,
        seconds=seconds,
        images_per_second=sum(report.images for report in trained.reports) / max(seconds, 1e-9),
    )
    results.append(row, kept_predictions(task, by_part))
    document = run_document(task, backbone, recipe, trained, row, job.identity())
    close_run(folder, document)
    return row


def is_finished(folder: Path, identity: str) -> bool:
    """Whether this very run is done in the folder.

    Raises
    ------
    InputError
        When another run is done there.
    """
    path = folder / RUN
    if not path.is_file():
        return False
    if json.loads(path.read_text(encoding="utf-8")).get("identity") == identity:
        return True
    raise InputError(
        f"'{folder}' holds a finished run with another recipe, data, model or seed; choose another --out, or delete it"
    )


def close_run(folder: Path, document: Mapping[str, Any]) -> None:
    """Write ``run.json``, then drop the checkpoint: until the former is there, a killed run needs the latter."""
    write_atomic(folder / RUN, json.dumps(document, indent=1))
    (folder / CHECKPOINT).unlink(missing_ok=True)
