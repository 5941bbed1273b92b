"""What an estimate is: its function, and what it needs, means, promises and warns of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from acclimate.scores.estimates import cautions
from acclimate.scores.estimates.prepared import Prepared

Value = float | tuple[float, ...]
Need = Literal["labels", "predictions", "views"]
Promise = Literal["order", "labels", "columns", "rotation", "shift", "scale"]
Better = Literal["larger", "smaller", "neither"]

ANY: Final[frozenset[Promise]] = frozenset({"order", "labels", "columns", "rotation", "shift", "scale"})
OF_PREDICTIONS: Final[frozenset[Promise]] = frozenset({"order", "labels", "columns"})
LABELS: Final[frozenset[Need]] = frozenset({"labels"})
BOTH: Final[frozenset[Need]] = frozenset({"labels", "predictions"})
NOTHING: Final[frozenset[Need]] = frozenset()

WITHOUT: Final[dict[Need, str]] = {
    "labels": "needs labels y (n,)",
    "predictions": "needs source predictions p (n, z): the model's own classifier, which a self-supervised one has not",
    "views": "needs views (m, q, d): features of q augmented views of each image",
}


@dataclass(frozen=True)
class Extent:
    """The values that an estimate can have: in words, and as numbers for these features."""

    words: str
    bounds: Callable[[Prepared], tuple[float, float]] = lambda prepared: (-np.inf, np.inf)


@dataclass(frozen=True)
class Estimate:
    """One estimate."""

    # Of checked features; a number, or several where the published score is made of a pool of models' parts
    function: Callable[[Prepared], Value]
    meaning: str  # one line for a user
    extent: Extent  # the values it can have
    # What does not change the number: the order of the images, the names of the classes, the order of the columns (of
    # source classes where it looks at p), a rotation of the features, a vector added to all, a factor on all
    promises: frozenset[Promise]
    needs: frozenset[Need] = LABELS  # what it needs beside the features x
    better: Better = "larger"  # which values speak for a model
    # Whether the published score exists only over a pool of models, and changes when a model is added
    pool_relative: bool = False
    # Why the number is worth little on these images, if it is
    caution: Callable[[Prepared], str | None] = cautions.none
    spectrum: Literal["", "uncentred", "centred"] = ""  # the shared decomposition that it uses, if any


@dataclass(frozen=True)
class EstimateRow:
    """One line of a table: a name, its number (None where it cannot be had), and what to mind."""

    name: str
    value: Value | None
    warning: str | None


ANY_NUMBER: Final = Extent("any number")


def missing(member: Estimate, prepared: Prepared) -> str | None:
    """Return what a member needs and these features have not, in words."""
    arrays: dict[Need, object] = {"labels": prepared.y, "predictions": prepared.p, "views": prepared.views}
    return next((WITHOUT[need] for need in sorted(member.needs) if arrays[need] is None), None)


def between(low: float, high: float) -> Extent:
    """Return the extent whose bounds no data changes; at most one of them is infinite."""
    words = f"at least {low:g}" if high == np.inf else f"at most {high:g}" if low == -np.inf else f"{low:g} to {high:g}"
    return Extent(words, lambda prepared: (low, high))


def dimensions(prepared: Prepared) -> tuple[float, float]:
    """Return the bounds of an effective rank, whose definition adds an epsilon."""
    return 1 - 1e-3, min(prepared.n, prepared.d) + 1e-3
