"""The exception tree, and the one way to say that a name is unknown or a value wrong.

AcclimateError
├── InputError          what the user gave cannot be used; the command exits with 2
│   ├── DataError       images, labels, splits, features
│   ├── ModelError      names, weights, architectures
│   ├── ScopeError      parameter scopes
│   ├── RecipeError     recipes and their settings
│   └── StudyError      studies: their axes and folders
├── TrainingError       the run broke (a loss that is not finite); exits with 1
└── Interrupted         Ctrl-C; the run can go on; exits with 130
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, get_args

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError


class AcclimateError(Exception):
    """Anything the program itself raises; its text is meant for the user."""

    exit_code = 1


class InputError(AcclimateError):
    """What the user gave cannot be used. The text says what was got, what was expected and the cure."""

    exit_code = 2


class DataError(InputError):
    """Images, labels, splits or features that cannot be used."""


class ModelError(InputError):
    """A model name, a weights file or an architecture that cannot be used."""


class ScopeError(InputError):
    """A parameter scope that cannot be read, or that matches nothing in this model."""


class RecipeError(InputError):
    """A recipe or one of its settings that cannot be used."""


class StudyError(InputError):
    """A study that cannot be used: a typo, an axis without values, a folder of another study."""


class TrainingError(AcclimateError):
    """A run that broke although its input was good, such as a loss that is not finite."""


class Interrupted(AcclimateError):
    """The user stopped the command. What was done is kept; the text says how to go on."""

    exit_code = 130


def unknown(kind: str, got: str, choices: Iterable[str], *, near: Iterable[str] = ()) -> str:
    """Return a one-line message for an unknown name: the nearest known one first, then all of them.

    ``near`` are names that may be the nearest and are not listed.

    Examples
    --------
    >>> unknown("score", "knm", ["knn", "logistic"])
    "unknown score 'knm'; did you mean 'knn'? Expected one of: knn, logistic"
    """
    known = sorted(choices)
    nearest = difflib.get_close_matches(got, [*known, *near], n=1, cutoff=0.5)
    hint = f"; did you mean '{nearest[0]}'? Expected" if nearest else "; expected"
    return f"unknown {kind} '{got}'{hint} one of: {', '.join(known)}"


def some(names: Iterable[str], most: int, *, quoted: bool = False, counted: bool = False) -> str:
    """Return the first ``most`` names as a list for a message; what is cut off is counted, or stands as dots.

    Examples
    --------
    >>> some(["a", "b", "c"], 2)
    'a, b, ...'
    >>> some(["a", "b", "c"], 2, quoted=True, counted=True)
    "'a', 'b' and 1 more"
    """
    listed = [f"'{name}'" if quoted else name for name in names]
    rest = len(listed) - most
    end = "" if rest <= 0 else f" and {rest} more" if counted else ", ..."
    return ", ".join(listed[:most]) + end


def complaint(error: ValidationError, model: type[BaseModel], *, kind: str = "key") -> str:
    """Return the first thing that pydantic finds wrong as one line.

    An unknown key, which explains others, comes first and names the nearest one.

    Parameters
    ----------
    model
        What was checked.
    kind
        What a key is called.
    """
    first: dict[str, Any] = dict(min(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden"))
    *place, key = first["loc"] or ("",)
    fields = _model_at(model, place).model_fields
    if first["type"] == "extra_forbidden":
        return unknown(kind, str(key), fields)
    if first["type"] == "missing" and str(key) in fields and fields[str(key)].annotation == tuple[str, ...]:
        return f"has no '{key}'; expected {key} = [...]"
    where = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    got = "" if first["type"] in ("missing", "value_error") else f", got {first['input']!r}"
    return f"{where}: {message}{got}" if where else message


def _model_at(model: type[BaseModel], place: Iterable[int | str]) -> type[BaseModel]:
    """Return the model that a place inside of another one is checked by: that of the last key which has one."""
    for step in place:
        field = model.model_fields.get(str(step))
        parts = _types(field.annotation) if field else iter(())
        model = next((part for part in parts if hasattr(part, "model_fields")), model)
    return model


def _types(annotation: Any) -> Iterator[Any]:
    """Yield a type and those that it is made of."""
    yield annotation
    for part in get_args(annotation):
        yield from _types(part)
