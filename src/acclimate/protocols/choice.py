"""Settings that validation chooses: every point of a grid trained in full, or short trainings and one in full."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from acclimate.errors import DataError
from acclimate.images import Split
from acclimate.models import Backbone
from acclimate.protocols.row import Outcome, run_recipe, stages_of
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


@dataclass(frozen=True)
class Search:
    """What is searched: grids one after the other, each point trained for a share ``length`` of the whole."""

    grids: Sequence[Mapping[str, Sequence[Value]]]
    length: float
    start: Point  # the values of the recipe itself, of every key that is searched
    recipe_at: Callable[[Point, float], Recipe]  # of a point and a length


def run_search(
    task: Task,
    backbone: Backbone,
    runtime: Runtime,
    search: Search,
    folder: Path,
    results: Results,
    *,
    stated: Stated,
) -> Outcome:
    """Try the grids of a search on short trainings with the test part sealed; train what they choose in full.

    The short trainings lie in ``folder/points/NUMBER``. A point that two grids share is tried once. The seconds are
    those of all trainings.
    """
    stated = stated.on(task)
    key = task.key(backbone, stated)
    if results.has(key):
        return Outcome(results.get(key), stages_of(folder))
    sealed = replace(task, use_test=False)
    tried: list[tuple[Point, Result]] = []
    chosen = search.start
    for grid in search.grids:
        points = [{**chosen, **point} for point in points_of(grid)]
        for point in points:
            if point not in [other for other, _ in tried]:
                short = search.recipe_at(point, search.length)
                place = folder / POINTS / f"{len(tried):03}"
                tried.append((point, run_recipe(sealed, backbone, runtime, short, place).row))
        chosen, _ = min((trial for trial in tried if trial[0] in points), key=lambda trial: -merit(trial[1])[1])
    aside = Results(folder / POINTS)
    last = run_recipe(task, backbone, runtime, search.recipe_at(chosen, 1.0), folder, aside)
    row = replace(
        last.row,
        protocol=stated.protocol,
        settings=stated.settings,
        seconds=round(sum(row.seconds for row in (*(row for _, row in tried), last.row)), 4),
        chosen={**chosen, "points": [_line(point, row) for point, row in tried]},
    )
    results.append(row, aside.predictions(last.row.key))
    return Outcome(row, last.stages)


def points_of(grid: Mapping[str, Sequence[Value]]) -> list[Point]:
    """Return the product of a grid's lists, in order."""
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


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
