"""A recipe whose settings validation chooses: every point of its grids is trained, the best one is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from acclimate.errors import DataError
from acclimate.images import Split
from acclimate.models import Backbone
from acclimate.protocols.row import Outcome
from acclimate.protocols.run import run_recipe, stages_of
from acclimate.protocols.task import Stated, Task
from acclimate.storage.results import Predictions, Result, Results
from acclimate.storage.runtime import Runtime
from acclimate.training.recipe import Recipe

POINTS: Final = "points"

Value = bool | int | float | str
Point = dict[str, Value]


def run_choice(
    task: Task,
    backbone: Backbone,
    runtime: Runtime,
    trials: Sequence[tuple[Point, Recipe]],
    folder: Path,
    results: Results,
    *,
    stated: Stated,
    refit: bool,
) -> Outcome:
    """Train every point with the test part sealed, choose one on validation, and return its row.

    Each point's run lies in ``folder/points/NUMBER``; the chosen one is trained again in `folder`. With ``refit`` it
    then learns from training and validation images together, where there is a test part to measure it on: the row's
    validation numbers are those it was chosen by, its test numbers those of the second training. The seconds are those
    of all trainings. Raises `DataError` without validation images to choose on.
    """
    stated = stated.on(task)
    key = task.key(backbone, stated)
    if results.has(key):
        return Outcome(results.get(key), stages_of(folder))
    if not len(task.split.val):
        raise DataError(
            f"'{stated.protocol}' chooses on validation images and there are none; give a larger training part"
        )
    points, recipes = zip(*trials, strict=True)
    sealed, places = replace(task, use_test=False), [folder / POINTS / f"{n:03}" for n in range(len(trials))]
    rows = [
        run_recipe(sealed, backbone, runtime, recipe, place).row for recipe, place in zip(recipes, places, strict=True)
    ]
    best = max(range(len(rows)), key=lambda number: merit(rows[number]))
    refit = refit and "test" in task.evaluated()
    final = replace(task, split=together(task.split)) if refit else task
    aside = Results(folder / POINTS)  # the training again is no row of its own
    last = run_recipe(final, backbone, runtime, recipes[best], folder, aside)
    predictions = aside.predictions(last.row.key)
    if refit:
        predictions = _joined(Results(places[best]).predictions(rows[best].key), predictions)
    row = replace(
        last.row,
        protocol=stated.protocol,
        settings=stated.settings,
        metrics={**rows[best].metrics, **last.row.metrics},
        seconds=round(sum(row.seconds for row in (*rows, last.row)), 4),
        chosen={**points[best], "refit": refit, "points": [_line(p, row) for p, row in zip(points, rows, strict=True)]},
    )
    results.append(row, predictions)
    return Outcome(row, last.stages)


def merit(row: Result) -> tuple[float, float]:
    """Return what points are chosen by: validation accuracy, then log loss; larger is better."""
    return row.metrics["val"]["accuracy"], -row.metrics["val"]["log_loss"]


def together(split: Split) -> Split:
    """Return the split whose training part holds the validation images too; none are left to choose on."""
    both = np.sort(np.concatenate([split.train, split.val]))
    return replace(split, train=both, val=both[:0])


def _line(point: Point, row: Result) -> dict[str, Any]:
    accuracy, loss = merit(row)
    return {**point, "val_accuracy": accuracy, "val_log_loss": -loss}


def _joined(a: Predictions, b: Predictions) -> Predictions:
    parts = None if a.part is None or b.part is None else np.concatenate([a.part, b.part])
    return Predictions(
        np.concatenate([a.probabilities, b.probabilities]),
        np.concatenate([a.labels, b.labels]),
        np.concatenate([a.index, b.index]),
        parts,
    )
