"""A recipe as a protocol: what is trained, what of it validation chooses, and with how many labels.

Of a recipe whose settings validation chooses, every point of its grids is trained, and the best one is measured.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np
from pydantic import Field, ValidationError, field_validator, model_validator

from acclimate.catalogue import ProtocolKind
from acclimate.errors import DataError, InputError, RecipeError, complaint
from acclimate.images import Split
from acclimate.models import Backbone
from acclimate.protocols.protocol import (
    LENGTHS,
    Labels,
    Protocol,
    budget_words,
    budgeted,
    shortened,
    shorter_stage,
    thinned,
)
from acclimate.protocols.row import Outcome, run_recipe, stages_of
from acclimate.protocols.task import Stated, Task
from acclimate.storage.results import Predictions, Result, Results
from acclimate.storage.runtime import Runtime
from acclimate.training.recipe import Recipe, Stage

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


class RecipeProtocol(Protocol):
    """A recipe that trains a model and its classifier.

    Attributes
    ----------
    labels, examples
        Label budget that belongs to the protocol: as ``acclimate tune --labels`` takes it (``1%``, ``10``), or as a
        number of labelled images in all, training and validation together, of which 4 in 5 train. None: all labels.
    stages
        As in a recipe.
    transformers
        Keys of the last stage that have another value for networks of attention blocks.
    choose
        Grids of values for keys of the last stage; each is the product of its lists, several are tried one after the
        other. Every point is trained, and the one with the highest validation accuracy is taken (log loss breaks
        ties). In TOML ``[choose]`` for one grid, ``[[choose]]`` for several.
    refit
        Train the chosen point again on training and validation images together before the test part is measured.
    """

    kind: ClassVar[ProtocolKind] = "recipe"
    labels: Labels = None
    examples: int | None = Field(default=None, ge=5)
    stages: tuple[Stage, ...] = Field(min_length=1)
    transformers: dict[str, Any] = Field(default_factory=dict)
    choose: tuple[dict[str, tuple[Value, ...]], ...] = ()
    refit: bool = False

    @field_validator("choose", mode="before")
    @classmethod
    def _as_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, Mapping) else value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.stages[-1].needs_labels:
            raise ValueError(
                "the last stage trains no classifier; expected objective 'supervised' there, or 'acclimate adapt'"
            )
        if self.labels is not None and self.examples is not None:
            raise ValueError("got 'labels' and 'examples'; expected one label budget")
        for point in self.points():
            self._recipe(self.at({**self.transformers, **point}))
            self._recipe(self.at(point))
        if self.refit and not self.choose:
            raise ValueError("'refit' trains a chosen point again; expected [choose] with lists of values")
        return self

    @property
    def budget(self) -> str | None:
        """See `Protocol.budget`."""
        return budget_words(self.labels, self.examples)

    def stated(self) -> dict[str, Any]:
        """See `Protocol.stated`."""
        values = self.model_dump(mode="json", exclude={"name", "source", "deviations"})
        return values if self.cited else {"stages": values["stages"]}

    def statement(self) -> Stated:
        """See `Protocol.statement`; one of ours is a recipe and nothing else."""
        return super().statement() if self.cited else Stated(self.name, self.recipe_at({}).model_dump(mode="json"))

    def points(self) -> tuple[Point, ...]:
        """Return every point of the grids, in order; one empty point where nothing is chosen."""
        grids = self.choose or ({},)
        return tuple(
            dict(zip(grid, values, strict=True)) for grid in grids for values in itertools.product(*grid.values())
        )

    def at(self, point: Mapping[str, Any]) -> tuple[Stage, ...]:
        """Return the stages with the values of a point in the last one."""
        if not point:
            return self.stages
        values = {**self.stages[-1].model_dump(exclude_none=True), **point}
        if "steps" in point:
            values.pop("epochs", None)
        elif "epochs" in point:
            values.pop("steps", None)
        try:
            return (*self.stages[:-1], Stage.model_validate({**values, **point}))
        except ValidationError as error:
            raise ValueError(f"choose: {complaint(error, Stage)}") from None

    def recipe_at(self, point: Mapping[str, Value]) -> Recipe:
        """Return the recipe of a point of the grids."""
        return self._recipe(self.at(point))

    def _recipe(self, stages: tuple[Stage, ...]) -> Recipe:
        try:
            return Recipe(name=self.name, source=self.source, stages=stages)
        except ValidationError as error:
            raise ValueError(complaint(error, Recipe)) from None

    def fixed_recipe(self) -> Recipe:
        """Return the recipe of a protocol that is the same for every network and any number of labels.

        Raises `RecipeError` for one with a label budget of its own, settings that validation chooses, or values for
        transformers.
        """
        more = [key for key in ("labels", "examples", "choose", "transformers") if getattr(self, key)]
        if more:
            raise RecipeError(f"'{self.name}' has '{more[0]}' of its own; expected a recipe of fixed stages")
        return self.recipe_at({})

    def as_run(self, backbone: Backbone) -> Self:
        """See `Protocol.as_run`: one may set other values for transformers; of a grid fewer points stay."""
        transformer = self.transformers and backbone.outline.family == "transformer"
        own = self.model_copy(update={"stages": self.at(self.transformers) if transformer else self.stages})
        points = thinned(own.points(), self.scale) if self.choose and self.scale != 1 else ()
        grids = tuple({key: (_scaled(key, value, self.scale),) for key, value in point.items()} for point in points)
        stages = tuple(shorter_stage(stage, self.scale) for stage in own.stages)
        return own.model_copy(update={"stages": stages, "choose": grids or self.choose, "transformers": {}})

    def recipes(self, backbone: Backbone) -> list[Recipe]:
        """Return what is trained on a network: of a protocol that tries several settings, each of them."""
        shorter = self.as_run(backbone)
        return [shorter.recipe_at(point) for point in shorter.points()]

    def budgeted(self, task: Task) -> Task:
        """Return the task with the protocol's own label budget, if it has one.

        Raises `InputError` when the task has another budget already.
        """
        return budgeted(task, self.name, self.labels, self.examples)

    def run(
        self, task: Task, backbone: Backbone, runtime: Runtime, folder: Path | None, results: Results | None = None
    ) -> Outcome:
        """See `Protocol.run`; the folder holds the finished classifier."""
        if folder is None:
            raise InputError(f"got no folder for '{self.name}', which trains; expected one for its run")
        task, shorter = self.budgeted(task), self.as_run(backbone)
        stated = shorter.statement()
        if not shorter.choose:
            return run_recipe(task, backbone, runtime, shorter.recipe_at({}), folder, results, stated=stated)
        trials = [(point, shorter.recipe_at(point)) for point in shorter.points()]
        return run_choice(
            task, backbone, runtime, trials, folder, results or Results(folder), stated=stated, refit=self.refit
        )


def _scaled(key: str, value: Value, scale: float) -> Value:
    return shortened(int(value), scale) if key in LENGTHS else value
