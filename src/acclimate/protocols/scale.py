"""Shorter versions of a preset for small machines: the same protocol with fewer epochs, points and episodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from acclimate.errors import RecipeError
from acclimate.protocols.schema import Preset, RecipePart, ScorePart, Value
from acclimate.training.recipe import Stage

T = TypeVar("T")

LENGTHS: Final = ("epochs", "steps")  # of a stage; at least 1
PATHS: Final = ("k", "c", "lambdas")  # lists of a score that validation chooses from


def check_scale(scale: float) -> float:
    """Return a scale that can be used.

    Raises
    ------
    RecipeError
        Outside (0, 1].
    """
    if not 0 < scale <= 1:
        raise RecipeError(
            f"got scale {scale}; expected more than 0 and at most 1, such as 0.1 for a tenth of the length"
        )
    return float(scale)


def scaled(preset: Preset, scale: float) -> Preset:
    """Return the preset shortened by ``scale`` in (0, 1]: every length times it, at least 1; lists of values thinned.

    Epochs, steps, warm-up steps of the heads, and episodes are lengths. Of a list of values that validation chooses
    from, evenly spaced ones stay, the first and the last among them. Learning rates and batches stay as they are.
    """
    if check_scale(scale) == 1:
        return preset
    if isinstance(preset.part, RecipePart):
        return preset.model_copy(update={"recipe": _recipe(preset.part, scale)})
    if isinstance(preset.part, ScorePart):
        values = preset.part.checked().model_dump(mode="json")
        return preset.model_copy(
            update={"score": preset.part.model_copy(update={"settings": _settings(values, scale)})}
        )
    fewer = preset.part.model_copy(update={"episodes": shortened(preset.part.episodes, scale)})
    return preset.model_copy(update={"episodes": fewer})


def thinned(values: Sequence[T], scale: float) -> tuple[T, ...]:
    """Return about ``scale`` of the values, evenly spaced, at least the first and the last.

    Examples
    --------
    >>> thinned([10, 20, 100, 200], 0.1), thinned(range(9), 0.3)
    ((10, 200), (0, 4, 8))
    """
    n, kept = len(values), max(2, round(len(values) * scale))
    if n <= kept:
        return tuple(values)
    return tuple(values[round(i * (n - 1) / (kept - 1))] for i in range(kept))


def shortened(length: int, scale: float) -> int:
    """Return a length times ``scale``, at least 1."""
    return max(1, round(length * scale))


def _recipe(part: RecipePart, scale: float) -> RecipePart:
    points = thinned(part.points(), scale) if part.choose else ()
    grids = tuple({key: (_value(key, value, scale),) for key, value in point.items()} for point in points)
    stages = tuple(_stage(stage, scale) for stage in part.stages)
    return part.model_copy(update={"stages": stages, "choose": grids})


def _value(key: str, value: Value, scale: float) -> Value:
    return shortened(int(value), scale) if key in LENGTHS else value


def _stage(stage: Stage, scale: float) -> Stage:
    lengths = {key: shortened(n, scale) for key in LENGTHS if (n := getattr(stage, key)) is not None}
    heads = int(stage.head_steps * scale)
    if "steps" in lengths:
        heads = min(heads, lengths["steps"] - 1)
    return stage.model_copy(update={**lengths, "head_steps": heads})


def _settings(settings: Mapping[str, Any], scale: float) -> dict[str, Any]:
    found = dict(settings)
    for key in PATHS:
        if isinstance(found.get(key), list | tuple):
            found[key] = list(thinned(found[key], scale))
    return found
