"""A recipe whose settings validation chooses: every point of its grids is trained, the best one is measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from acclimate.errors import DataError
from acclimate.images import Split
from acclimate.models import Backbone
from acclimate.protocols.run import run_recipe
from acclimate.protocols.schema import Point, Preset, RecipePart
from acclimate.protocols.task import Stated, Task
from acclimate.storage.results import Predictions, Result, Results
from acclimate.storage.runtime import Runtime

POINTS = "points"


def run_choice(
    task: Task, backbone: Backbone, runtime: Runtime, preset: Preset, folder: Path, results: Results, stated: Stated
) -> Result:
    """Train every point with the test part sealed, choose one on validation, and return its row.

    Each point's run lies in ``folder/points/NUMBER``; the chosen one is trained again in `folder`. With ``refit`` it
    then learns from training and validation images together, where there is a test part to measure it on: the row's
    validation numbers are those it was chosen by, its test numbers those of the second training. The seconds are
    those of all trainings.

    Raises
    ------
    DataError
        Without validation images to choose on.
    """
    part = preset.part
    assert isinstance(part, RecipePart)
    key = task.key(backbone, stated.protocol, {**stated.settings, "parts": list(task.evaluated())})
    if results.has(key):
        return results.get(key)
    if not len(task.split.val):
        raise DataError(f"'{preset.name}' chooses on validation images and there are none; give a larger training part")
    points, sealed = part.points(), replace(task, use_test=False)
    places = [folder / POINTS / f"{number:03}" for number in range(len(points))]
    rows = [
        run_recipe(sealed, backbone, runtime, preset.recipe_at(point), place)
        for point, place in zip(points, places, strict=True)
    ]
    best = max(range(len(rows)), key=lambda number: merit(rows[number]))
    refit = part.refit and "test" in task.evaluated()
    final = replace(task, split=together(task.split)) if refit else task
    aside = Results(folder / POINTS)  # the training again is no row of its own
    last = run_recipe(final, backbone, runtime, preset.recipe_at(points[best]), folder, aside)
    predictions = aside.predictions(last.key)
    if refit:
        predictions = _joined(Results(places[best]).predictions(rows[best].key), predictions)
    row = replace(
        last,
        protocol=stated.protocol,
        settings={**stated.settings, "parts": list(task.evaluated())},
        metrics={**rows[best].metrics, **last.metrics},
        seconds=round(sum(row.seconds for row in (*rows, last)), 4),
        chosen={**points[best], "refit": refit, "points": [_told(p, row) for p, row in zip(points, rows, strict=True)]},
    )
    results.append(row, predictions)
    return row


def merit(row: Result) -> tuple[float, float]:
    """Return what points are chosen by: validation accuracy, then log loss; larger is better."""
    return row.metrics["val"]["accuracy"], -row.metrics["val"]["log_loss"]


def together(split: Split) -> Split:
    """Return the split whose training part holds the validation images too; none are left to choose on."""
    both = np.sort(np.concatenate([split.train, split.val]))
    return replace(split, train=both, val=both[:0])


def _told(point: Point, row: Result) -> dict[str, Any]:
    accuracy, loss = merit(row)
    return {**point, "val_accuracy": accuracy, "val_log_loss": -loss}


def _joined(a: Predictions, b: Predictions) -> Predictions:
    return Predictions(
        np.concatenate([a.probabilities, b.probabilities]),
        np.concatenate([a.labels, b.labels]),
        np.concatenate([a.index, b.index]),
    )
