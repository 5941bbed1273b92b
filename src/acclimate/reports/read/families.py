"""Groups of models that a reader may filter by: columns of the table, or else how the names begin."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from acclimate.comparison.baseline import SIZES, size_list
from acclimate.reports.read.variants import CORE, COSTS

if TYPE_CHECKING:
    import pandas as pd

MOST_GROUPS: Final = 24  # more would be a list of models: the smallest are then gathered
MOST_GROUPINGS: Final = 4
NONE: Final = "(none)"
REST: Final = "(other)"
BY_NAME: Final = "name begins with"
FIRST: Final = ("family", "backbone", "architecture", "pretraining")


def groups_of(frame: pd.DataFrame, models: Sequence[str]) -> dict[str, list[str]]:
    """Return the name of each grouping -> the group of each model.

    A column groups models if each has one value of it, and there are at least 2 values and at most half as many as
    models. Of many the largest keep their names, and the others are `REST`.
    """
    names = [str(c) for c in frame.columns if c not in (*CORE, *SIZES) and str(c).lower() not in COSTS]
    names.sort(key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))
    groupings = {name: group for name in names if (group := _of_column(frame, name, models))}
    groupings = dict(list(groupings.items())[:MOST_GROUPINGS])
    return groupings or _of_names(models)


def sizes_of(frame: pd.DataFrame, models: Sequence[str]) -> npt.NDArray[np.float64] | None:
    """Return the number of parameters of each model, None where no column says."""
    sizes = size_list(frame, models)
    return sizes if sizes is not None and np.nanmax(sizes) > 0 else None


def _of_column(frame: pd.DataFrame, name: str, models: Sequence[str]) -> list[str]:
    pairs = frame.loc[frame[name] != "", ["model", name]].drop_duplicates()
    whole = name in FIRST or len(pairs) == len(models)  # a setting of some protocol is no family
    if pairs["model"].duplicated().any() or not whole:
        return []
    of = dict(zip(pairs["model"], pairs[name], strict=True))
    return _gathered([str(of.get(model, NONE)) for model in models])


def _of_names(models: Sequence[str]) -> dict[str, list[str]]:
    """Return groups by the letters with which the names begin, behind a source such as ``timm:`` or an owner."""
    starts = [re.search(r"^[^\W\d_]+", re.split(r"[:/]", model)[-1]) for model in models]
    groups = _gathered([start.group().lower() if start else NONE for start in starts])
    return {BY_NAME: groups} if groups else {}


def _gathered(values: list[str]) -> list[str]:
    """Return the groups, the smallest of many gathered; nothing where they are no groups."""
    sizes = Counter(values)
    if not 2 <= len(sizes) <= max(2, len(values) // 2):
        return []
    large = {name for name, _ in sizes.most_common(MOST_GROUPS - 1 if len(sizes) > MOST_GROUPS else MOST_GROUPS)}
    return [value if value in large else REST for value in values]
