"""A preset: a score, a recipe or few-shot episodes, with its source and its deviations; checked before any work."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from acclimate.catalogue.messages import complaint
from acclimate.errors import DataError, unknown
from acclimate.images import parse_labels
from acclimate.scores import PROBES, ProbeSettings
from acclimate.scores.probes.episodes import EpisodeSettings
from acclimate.training.recipe import Recipe, Stage

Kind = Literal["score", "recipe", "episodes"]
Value = bool | int | float | str
Point = dict[str, Value]


def _readable_labels(text: str | None) -> str | None:
    try:
        parse_labels(text or "all")
    except DataError as error:
        raise ValueError(str(error)) from None
    return text


Labels = Annotated[str | None, AfterValidator(_readable_labels)]


class Part(BaseModel):
    """What every part of a preset is: frozen, and without keys that nobody reads."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def checked_settings(model: type[ProbeSettings], values: Mapping[str, Any]) -> ProbeSettings:
    """Return settings of a score or of episodes, in full.

    A single value, or a text of values with commas between them, stands for a list where one is expected.

    Raises
    ------
    ValueError
        With the first thing that is wrong; an unknown setting names the nearest one.
    """
    lists = {key for key, field in model.model_fields.items() if get_origin(field.annotation) is tuple}
    values = {key: _as_list(value) if key in lists else value for key, value in values.items()}
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ValueError(complaint(error, model, kind="setting")) from None


def _as_list(value: Any) -> Any:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",")]
    return value if isinstance(value, list | tuple) else [value]


class ScorePart(Part):
    """A score with fixed settings.

    Attributes
    ----------
    name
        A name in ``PROBES``.
    labels
        Label budget that belongs to the protocol, as ``acclimate tune --labels`` takes it (``1%``, ``10``); None for
        all labels.
    settings
        Settings of the score.
    """

    name: str
    labels: Labels = None
    settings: dict[str, Any] = Field(default_factory=dict)

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in PROBES:
            raise ValueError(unknown("score", name, PROBES))
        return name

    @model_validator(mode="after")
    def _checked_settings(self) -> ScorePart:
        self.checked()
        return self

    def checked(self) -> ProbeSettings:
        """Return the settings in full, checked by the score's own model."""
        return checked_settings(PROBES[self.name].settings, self.settings)


class RecipePart(Part):
    """A recipe, and what of it validation chooses.

    Attributes
    ----------
    labels
        Label budget that belongs to the protocol, as ``acclimate tune --labels`` takes it (``1%``, ``10``); None for
        all labels.
    examples
        The same as a number of labelled images in all, training and validation together: 4 in 5 of them train.
    stages
        As in a recipe.
    transformers
        Keys of the last stage that have another value for networks of attention blocks.
    choose
        Grids of values for keys of the last stage; each is the product of its lists, several are tried one after the
        other. Every point is trained, and the one with the highest validation accuracy is taken (log loss breaks
        ties). In TOML ``[recipe.choose]`` for one grid, ``[[recipe.choose]]`` for several.
    refit
        Train the chosen point again on training and validation images together before the test part is measured.
    """

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
    def _consistent(self) -> RecipePart:
        if not self.stages[-1].needs_labels:
            raise ValueError("the last stage trains no classifier; expected objective 'supervised' there")
        if self.labels is not None and self.examples is not None:
            raise ValueError("got 'labels' and 'examples'; expected one label budget")
        for point in self.points():
            self.at({**self.transformers, **point})
            self.at(point)
        if self.refit and not self.choose:
            raise ValueError("'refit' trains a chosen point again; expected [recipe.choose] with lists of values")
        return self

    def points(self) -> tuple[Point, ...]:
        """Return every point of the grids, in order; one empty point where nothing is chosen."""
        grids = self.choose or ({},)
        return tuple(
            dict(zip(grid, values, strict=True)) for grid in grids for values in itertools.product(*grid.values())
        )

    def for_transformers(self) -> RecipePart:
        """Return the part as it is for networks of attention blocks."""
        return self.model_copy(update={"stages": self.at(self.transformers), "transformers": {}})

    def for_others(self) -> RecipePart:
        """Return the part as it is for other networks."""
        return self.model_copy(update={"transformers": {}})

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


class Preset(Part):
    """An evaluation protocol with a name.

    Attributes
    ----------
    name
        ``FAMILY/NAME``, as its file lies.
    source
        The paper and the file of the authors' code that the numbers are from.
    deviations
        Every deliberate difference from the source, in words.
    score, recipe, episodes
        Exactly one of them; few-shot episodes have their settings in the table itself.
    """

    name: str = Field(min_length=1)
    source: str = Field(min_length=1)
    deviations: tuple[str, ...]
    score: ScorePart | None = None
    recipe: RecipePart | None = None
    episodes: EpisodeSettings | None = None

    @model_validator(mode="after")
    def _one_part(self) -> Preset:
        given = [kind for kind in ("score", "recipe", "episodes") if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(
                f"got {' and '.join(given) or 'none'}; expected exactly one of [score], [recipe], [episodes]"
            )
        return self

    @property
    def kind(self) -> Kind:
        """Which part the preset has."""
        return "score" if self.score is not None else "recipe" if self.recipe is not None else "episodes"

    @property
    def part(self) -> ScorePart | RecipePart | EpisodeSettings:
        """The part that is run."""
        part = self.score or self.recipe or self.episodes
        assert part is not None  # by _one_part
        return part

    def stated(self) -> dict[str, Any]:
        """Return everything that is set, in full, as a row states it; JSON-able."""
        told = self.part.model_dump(mode="json")
        if isinstance(self.part, ScorePart):
            told["settings"] = self.part.checked().model_dump(mode="json")
        return told

    def recipe_at(self, point: Mapping[str, Value]) -> Recipe:
        """Return the recipe of a point of the grids.

        Raises
        ------
        ValueError
            For a preset of another kind.
        """
        if self.recipe is None:
            raise ValueError(f"preset '{self.name}' is of kind {self.kind} and has no recipe")
        return Recipe(name=self.name, source=self.source, stages=self.recipe.at(point))
