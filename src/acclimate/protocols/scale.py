"""Shorter versions of what a protocol does, for small machines: fewer epochs, values to choose from and episodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from acclimate.errors import RecipeError
from acclimate.training.recipe import Stage

T = TypeVar("T")

LENGTHS: Final = ("epochs", "steps")  # of a stage; at least 1
PATHS: Final = ("k", "c", "lambdas")  # lists of a probe that validation chooses from


def check_scale(scale: float) -> float:
    """Return a scale that can be used. Raises `RecipeError` outside (0, 1]."""
    if not 0 < scale <= 1:
        raise RecipeError(
            f"got scale {scale}; expected more than 0 and at most 1, such as 0.1 for a tenth of the length"
        )
    return float(scale)


def thinned(values: Sequence[T], scale: float) -> tuple[T, ...]:
    """Return about ``scale`` of the values, evenly spaced, at least the first and the last.

    Examples
    --------
    >>> thinned([10, 20, 100, 200], 0.1), thinned(range(9), 0.3)
    ((10, 200), (0, 4, 8))
    """
    n, m = len(values), max(2, round(len(values) * scale))
    if n <= m:
        return tuple(values)
    return tuple(values[round(i * (n - 1) / (m - 1))] for i in range(m))


def shortened(length: int, scale: float) -> int:
    """Return a length times ``scale``, at least 1."""
    return max(1, round(length * scale))


def with_fewer_values(settings: Mapping[str, Any], scale: float) -> dict[str, Any]:
    """Return a probe's settings with its lists thinned; a single value stays."""
    lists = {key: settings[key] for key in PATHS if isinstance(settings.get(key), list | tuple)}
    return {**settings, **{key: list(thinned(values, scale)) for key, values in lists.items()}}


def shorter_stage(stage: Stage, scale: float) -> Stage:
    """Return a stage with its length, and the warm-up steps of its heads, times ``scale``; rates stay as they are."""
    if scale == 1:
        return stage
    lengths = {key: shortened(n, scale) for key in LENGTHS if (n := getattr(stage, key)) is not None}
    heads = int(stage.head_steps * scale)
    if "steps" in lengths:
        heads = min(heads, lengths["steps"] - 1)
    return stage.model_copy(update={**lengths, "head_steps": heads})
