"""The exception tree, and the one way to say that a name is unknown.

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
from collections.abc import Iterable


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


def unknown(kind: str, got: str, choices: Iterable[str]) -> str:
    """Return a one-line message for an unknown name: the nearest known one first, then all of them.

    Examples
    --------
    >>> unknown("score", "knm", ["knn", "logistic"])
    "unknown score 'knm'; did you mean 'knn'? Expected one of: knn, logistic"
    """
    known = sorted(choices)
    near = difflib.get_close_matches(got, known, n=1, cutoff=0.5)
    hint = f"; did you mean '{near[0]}'? Expected" if near else "; expected"
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
