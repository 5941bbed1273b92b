"""A recipe as a protocol: what is trained, what of it validation chooses, and with how many labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from acclimate.catalogue import ProtocolKind
from acclimate.errors import InputError, RecipeError, complaint, unknown
from acclimate.models import Backbone
from acclimate.protocols.choice import Point, Search, Value, points_of, run_choice, run_search
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
from acclimate.protocols.row import Outcome, run_recipe
from acclimate.protocols.task import Stated, Task
from acclimate.storage.results import Results
from acclimate.storage.runtime import Runtime
from acclimate.training.recipe import Recipe, Stage

SEARCHES: Final = ("off", "fast", "full")
TRIED: Final = ("natural", "document", "aerial")  # domains: mirrored, never mirrored, in all eight orientations


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
    search, search_length
        Grids as in ``choose``, but short: every point is trained for this share of the length, and the one with the
        smallest validation log loss is trained in full. One grid follows the other, each from what those before chose.
        In TOML ``[[search]]``. Without validation images nothing is searched.
    """

    kind: ClassVar[ProtocolKind] = "recipe"
    labels: Labels = None
    examples: int | None = Field(default=None, ge=5)
    stages: tuple[Stage, ...] = Field(min_length=1)
    transformers: dict[str, Any] = Field(default_factory=dict)
    choose: tuple[dict[str, tuple[Value, ...]], ...] = ()
    refit: bool = False
    search: tuple[dict[str, tuple[Value, ...]], ...] = ()
    search_length: float = Field(default=0.25, gt=0, le=1)

    @field_validator("choose", "search", mode="before")
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
        if self.search and self.choose:
            raise ValueError("got 'search' and 'choose'; expected one of them: short trials, or trials in full")
        for grid in self.search:
            for point in points_of(grid):
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
        younger = set() if self.search else {"search", "search_length"}  # than finished rows, which lack them
        values = self.model_dump(mode="json", exclude={"name", "source", "deviations", *younger})
        own: dict[str, Any] = {key: values[key] for key in ("stages", "search", "search_length") if key in values}
        return values if self.cited else own

    def statement(self) -> Stated:
        """See `Protocol.statement`; one of ours is a recipe and nothing else."""
        if self.cited:
            return super().statement()
        searched = self.model_dump(mode="json", include={"search", "search_length"}) if self.search else {}
        return Stated(self.name, {**self.recipe_at({}).model_dump(mode="json"), **searched})

    def points(self) -> tuple[Point, ...]:
        """Return every point of the grids, in order; one empty point where nothing is chosen."""
        return tuple(point for grid in self.choose or ({},) for point in points_of(grid))

    def at(self, point: Mapping[str, Any]) -> tuple[Stage, ...]:
        """Return the stages with the values of a point in the last one."""
        if not point:
            return self.stages
        values = {**self.stages[-1].model_dump(exclude_none=True), **point}
        if "steps" in point:
            values.pop("epochs", None)
            values.pop("least_steps", None)
        elif "epochs" in point:
            values.pop("steps", None)
        try:
            return (*self.stages[:-1], Stage.model_validate({**values, **point}))
        except ValidationError as error:
            raise ValueError(f"choose: {complaint(error, Stage)}") from None

    def recipe_at(self, point: Mapping[str, Value], share: float = 1.0) -> Recipe:
        """Return the recipe of a point of the grids, its stages as long as ``share`` says."""
        return self._recipe(tuple(shorter_stage(stage, share) for stage in self.at(point)))

    def _recipe(self, stages: tuple[Stage, ...]) -> Recipe:
        try:
            return Recipe(name=self.name, source=self.source, stages=stages)
        except ValidationError as error:
            raise ValueError(complaint(error, Recipe)) from None

    def fixed_recipe(self) -> Recipe:
        """Return the recipe of a protocol that is the same for every network and any number of labels, unsearched.

        Raises `RecipeError` for one with a label budget of its own, settings that validation chooses, or values for
        transformers.
        """
        more = [key for key in ("labels", "examples", "choose", "transformers") if getattr(self, key)]
        if more:
            raise RecipeError(f"'{self.name}' has '{more[0]}' of its own; expected a recipe of fixed stages")
        return self.recipe_at({})

    def as_run(self, backbone: Backbone) -> Self:
        """See `Protocol.as_run`: one may set other values for transformers; of a grid fewer points stay, or none."""
        transformer = self.transformers and backbone.outline.family == "transformer"
        own = self.model_copy(update={"stages": self.at(self.transformers) if transformer else self.stages})
        points = thinned(own.points(), self.scale) if self.choose and self.scale != 1 else ()
        grids = tuple({key: (_scaled(key, value, self.scale),) for key, value in point.items()} for point in points)
        stages = tuple(shorter_stage(stage, self.scale) for stage in own.stages)
        search = self.search if self.scale == 1 else ()
        changes: dict[str, Any] = {
            "stages": stages,
            "choose": grids or self.choose,
            "search": search,
            "transformers": {},
        }
        return own.model_copy(update=changes)

    def with_stage(self, values: Mapping[str, Value]) -> Self:
        """Return the protocol with other settings of its last stage, or of that stage's objective.

        What is set is not searched. Raises `InputError` for a protocol that keeps a paper's numbers, `RecipeError` for
        a setting that is unknown or out of range.
        """
        if not values:
            return self
        if self.cited:
            raise InputError(
                f"got --set for '{self.name}', which keeps its source's numbers; expected a recipe of ours"
            )
        stage = self.stages[-1]
        keys, options = {*Stage.model_fields} - {"options", "objective"}, {*stage.settings().model_dump()}
        for name in values:
            if name not in keys | options:
                raise RecipeError(unknown(f"setting of '{self.name}'", name, sorted(keys | options)))
        own = {name: value for name, value in values.items() if name in keys}
        rest = {name: value for name, value in values.items() if name not in keys}
        try:
            stages = self.at({**own, "options": {**stage.options, **rest}})
        except ValueError as error:
            raise RecipeError(f"'{self.name}' with --set: {str(error).removeprefix('choose: ')}") from None
        grids = ({name: tried for name, tried in grid.items() if name not in own} for grid in self.search)
        return self.model_copy(update={"stages": stages, "search": tuple(grid for grid in grids if grid)})

    def with_domain(self, domain: str | None) -> Self:
        """Return the protocol with the views of a domain, with a search for one (``auto``), or as it is (None)."""
        if domain is None or (domain == "auto" and any("domain" in grid for grid in self.search)):
            return self
        if domain != "auto":
            return self.with_stage({"domain": domain})
        return self.with_stage({"domain": "natural"}).model_copy(update={"search": ({"domain": TRIED}, *self.search)})

    def searching(self, how: str) -> Self:
        """Return the protocol that searches not at all (``off``), as it says (``fast``), or ``full``.

        The last tries all its lists together, each point for half of the length. Raises `InputError` for another word.
        """
        if how not in SEARCHES:
            raise InputError(unknown("search", how, SEARCHES))
        if how == "fast" or not self.search:
            return self
        together = {name: values for grid in self.search for name, values in grid.items()}
        changes: dict[str, Any]
        changes = {"search": ()} if how == "off" else {"search": (together,), "search_length": 0.5}
        return self.model_copy(update=changes)

    def shorter(self, share: float) -> Self:
        """Return the protocol with a share of its length and nothing searched: for demonstrations."""
        stages = tuple(shorter_stage(stage, share) for stage in self.stages)
        return self.model_copy(update={"stages": stages, "search": ()})

    def trainings(self) -> float:
        """Return how many trainings of the whole length the protocol does on a task with validation images."""
        tries = sum(len(points_of(grid)) for grid in self.search) - max(0, len(self.search) - 1)
        points = len(self.points())
        return 1 + tries * self.search_length + (points if points > 1 else 0)  # the chosen one is trained again

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
        if shorter.search and len(task.split.val):
            start: Point = {name: getattr(shorter.stages[-1], name) for grid in shorter.search for name in grid}
            search = Search(shorter.search, shorter.search_length, start, shorter.recipe_at)
            return run_search(task, backbone, runtime, search, folder, results or Results(folder), stated=stated)
        if not shorter.choose:
            return run_recipe(task, backbone, runtime, shorter.recipe_at({}), folder, results, stated=stated)
        trials = [(point, shorter.recipe_at(point)) for point in shorter.points()]
        return run_choice(
            task, backbone, runtime, trials, folder, results or Results(folder), stated=stated, refit=self.refit
        )


def _scaled(key: str, value: Value, scale: float) -> Value:
    return shortened(int(value), scale) if key in LENGTHS else value
