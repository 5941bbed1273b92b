"""A study as data: models x data sets x protocols x seeds x label fractions. TOML in, checked before any work."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from acclimate.errors import DataError, StudyError, unknown
from acclimate.images import parse_labels

AXES = ("models", "data", "protocols", "labels")


class Exclusion(BaseModel):
    """Cells that a study leaves out: those that match every key that is given.

    Attributes
    ----------
    models, data, protocols, labels
        Values of the study's axis of that name; an empty one matches all.
    seeds
        Positions among the study's seeds, from 0.
    why
        For readers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    why: str = ""

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not any(getattr(self, axis) for axis in (*AXES, "seeds")):
            raise ValueError("an exclusion names nothing; expected one of models, data, protocols, labels, seeds")
        return self


class Study(BaseModel):
    """A named study.

    Attributes
    ----------
    source
        Where its design comes from: a paper.
    deviations
        What differs from it on purpose, a sentence each.
    models, data, protocols
        Names as on the command line. Paths are relative to the study's file.
    seeds
        How many, counted from the seed of the command; each draws labels (and validation images, where the data have
        no validation part) and trains.
    labels
        Label budgets: a count a class (``10``) or a share of each class (``1%``).
    scale
        Shortens every preset, in (0, 1]; scores and recipes that are no preset stay as they are.
    image_size
        Side of the square input of every model, in pixels; None: what each was trained with.
    exclude
        Cells to leave out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str = Field(min_length=1)
    source: str = ""
    deviations: tuple[str, ...] = ()
    models: tuple[str, ...]
    data: tuple[str, ...]
    protocols: tuple[str, ...]
    seeds: int = Field(default=3, ge=1)
    labels: tuple[str, ...] = ("100%",)
    scale: float = Field(default=1.0, gt=0, le=1)
    image_size: int | None = Field(default=None, ge=1)
    exclude: tuple[Exclusion, ...] = ()

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
    seen: dict[object, str] = {}
    for value in values:
        same = parse_labels(value) if axis == "labels" else value
        if same in seen:
            also = "" if seen[same] == value else f" (as '{seen[same]}' and '{value}')"
            raise ValueError(f"{axis}: got '{value}' twice{also}, which makes the same cells twice; give it once")
        seen[same] = value


def parse_study(values: Mapping[str, Any], *, where: str) -> Study:
    """Check a study given as plain values.

    Raises
    ------
    StudyError
        With the place and the first thing that is wrong; an unknown key names the nearest known one.
    """
    try:
        return Study.model_validate(values)
    except ValidationError as error:
        raise StudyError(f"study {where}: {_complaint(error)}") from None


def _complaint(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = Exclusion if first["loc"][0] == "exclude" else Study
        return unknown("key", str(first["loc"][-1]), known.model_fields)
    if first["type"] == "missing":
        return f"has no '{where}'; expected {where} = [...]" if where in AXES else f"has no '{where}'"
    said = first["msg"].removeprefix("Value error, ")
    got = "" if first["type"] == "value_error" else f", got {first['input']!r}"
    return f"{where}: {said}{got}" if where else f"{said}{got}"


def study_names() -> tuple[str, ...]:
    """Return the names of the studies that ship with the program."""
    files = resources.files("acclimate").joinpath("catalogue", "studies").iterdir()
    return tuple(sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml")))


def load_study(study: str | Path) -> tuple[Study, Path]:
    """Return a study by its name or from a TOML file, and the folder that its paths are relative to.

    Raises
    ------
    StudyError
        For an unknown name (the nearest one is named), an unreadable file, or anything in it that cannot be.
    """
    text, folder = str(study), Path()
    if text in study_names():
        source = resources.files("acclimate").joinpath("catalogue", "studies", f"{text}.toml").read_text(encoding="utf-8")
    elif Path(text).is_file():
        source, folder = _text(Path(text)), Path(text).parent
    else:
        raise StudyError(f"{unknown('study', text, study_names())}, or a TOML file")
    try:
        values = tomllib.loads(source)
    except tomllib.TOMLDecodeError as error:
        raise StudyError(f"study '{text}' is not valid TOML: {error}") from None
    return parse_study(values, where=f"'{text}'"), folder


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise StudyError(f"study '{path}' is not text in UTF-8; expected a TOML file") from None
