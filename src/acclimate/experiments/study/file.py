"""A study as data: models x data sets x protocols x seeds x label fractions. TOML in, checked before any work."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from acclimate import catalogue
from acclimate.errors import DataError, StudyError, complaint, unknown
from acclimate.images import parse_labels

AXES = ("models", "data", "protocols", "labels")


class Exclusion(BaseModel):
    """Cells that a study leaves out: those that match every key that is given."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # models, data, protocols, labels: values of the study's axis of that name; an empty one matches all
    models: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()  # positions among the study's seeds, from 0
    why: str = ""  # for readers

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not any(getattr(self, axis) for axis in (*AXES, "seeds")):
            raise ValueError("an exclusion names nothing; expected one of models, data, protocols, labels, seeds")
        return self


class Study(BaseModel):
    """A named study."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str = Field(min_length=1)
    source: str = ""  # where its design comes from: a paper
    deviations: tuple[str, ...] = ()  # what differs from it on purpose, a sentence each
    # models, data, protocols: names as on the command line; paths are relative to the study's file
    models: tuple[str, ...]
    data: tuple[str, ...]
    protocols: tuple[str, ...]
    # how many, counted from the seed of the command; each draws labels (and validation images, where the data have no
    # validation part) and trains
    seeds: int = Field(default=3, ge=1)
    labels: tuple[str, ...] = ("100%",)  # budgets: a count a class (``10``) or a share of each class (``1%``)
    # shortens every preset; scores and recipes that are no preset stay as they are
    scale: float = Field(default=1.0, gt=0, le=1)
    # side of the square input of every model, in pixels; None: what each was trained with
    image_size: int | None = Field(default=None, ge=1)
    exclude: tuple[Exclusion, ...] = ()  # cells to leave out

    @field_validator(*AXES)
    @classmethod
    def _filled(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        if not values or not all(value.strip() for value in values):
            raise ValueError(f"got {list(values)}; expected a list with at least one name, none of them empty")
        return tuple(value.strip() for value in values)

    @field_validator("labels")
    @classmethod
    def _readable(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        try:
            for value in values:
                parse_labels(value)
        except DataError as error:
            raise ValueError(str(error)) from None
        return values

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for axis in AXES:
            _refuse_twice(axis, getattr(self, axis))
        for exclusion in self.exclude:
            for axis in AXES:
                for value in getattr(exclusion, axis):
                    if value not in getattr(self, axis):
                        raise ValueError(f"exclude: {unknown(f'value of {axis}', value, getattr(self, axis))}")
            if wrong := [seed for seed in exclusion.seeds if not 0 <= seed < self.seeds]:
                raise ValueError(f"exclude: got seed {wrong[0]}; expected 0 to {self.seeds - 1}")
        return self

    def excluded(self, model: str, data: str, protocol: str, labels: str, seed: int) -> bool:
        """Whether a cell is left out; ``seed`` is its position."""
        cell = {"models": model, "data": data, "protocols": protocol, "labels": labels, "seeds": seed}
        return any(
            all(not (only := getattr(exclusion, axis)) or value in only for axis, value in cell.items())
            for exclusion in self.exclude
        )


def _refuse_twice(axis: str, values: tuple[str, ...]) -> None:
    """Refuse two values that make the same cells."""
    texts: dict[object, str] = {}
    for value in values:
        same = parse_labels(value) if axis == "labels" else value
        if same in texts:
            also = "" if texts[same] == value else f" (as '{texts[same]}' and '{value}')"
            raise ValueError(f"{axis}: got '{value}' twice{also}, which makes the same cells twice; give it once")
        texts[same] = value


def parse_study(values: Mapping[str, Any], *, where: str) -> Study:
    """Check a study given as plain values.

    Raises `StudyError` with the place and the first thing that is wrong; an unknown key names the nearest known one.
    """
    try:
        return Study.model_validate(values)
    except ValidationError as error:
        raise StudyError(f"study {where}: {complaint(error, Study)}") from None


def load_study(study: str | Path) -> tuple[Study, Path]:
    """Return a study by its name or from a TOML file, and the folder that its paths are relative to.

    Raises `StudyError` for an unknown name (the nearest one is named), an unreadable file, or anything in it that
    cannot be.
    """
    table = catalogue.read("studies", study)
    return parse_study(table.values, where=table.where), table.path.parent if table.path else Path()
