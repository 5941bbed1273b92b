"""Rows of one protocol that differ in a setting or a label budget -> protocols of their own names; groups of models.

Without names of their own, kNN on raw and on normalised features would be averaged as if they were seeds of one thing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from acclimate.comparison.baseline import SIZES, size_list
from acclimate.comparison.table import KEY, ROW

if TYPE_CHECKING:
    import pandas as pd

CORE: Final = ("model", "dataset", "protocol", "metric", "value", "seed", "split", "labels", "_random", ROW, KEY)
RUN: Final = ["model", "dataset", "protocol", "metric", "split", "seed"]
COSTS: Final = ("seconds", "elapsed", "time", "cost", "gflops", "gmacs", "flops", "macs")
MOST: Final = 3  # columns that a name may grow by
MOST_GROUPS: Final = 24  # more would be a list of models: the smallest are then gathered
MOST_GROUPINGS: Final = 4
NONE: Final = "(none)"
REST: Final = "(other)"
BY_NAME: Final = "name begins with"
FIRST: Final = ("family", "backbone", "architecture", "pretraining")


def told_apart(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return the table in which one model, data set, protocol, metric, split and seed have one value, and notes.

    A protocol with several label budgets becomes ``NAME@LABELS``; one whose rows disagree, ``NAME [COLUMN=VALUE]``
    for the columns that tell them apart. What still disagrees is averaged, and a note says so.
    """
    frame, notes = _by_labels(frame), []
    other = [c for c in frame.columns if c not in (*CORE, *SIZES) and str(c).lower() not in COSTS]
    for _ in range(MOST):
        odd = frame[frame.duplicated(RUN, keep=False)]
        if not len(odd):
            break
        telling = [name for name in other if (odd.groupby(RUN, sort=False)[name].nunique() > 1).any()]
        if not telling:
            break
        name, mine = telling[0], frame["protocol"].isin(set(odd["protocol"]))
        other.remove(name)
        renamed = frame["protocol"] + " [" + str(name) + "=" + frame[name].where(frame[name] != "", "none") + "]"
        frame = frame.assign(protocol=renamed.where(mine & (frame[name] != ""), frame["protocol"]))
    same = frame.duplicated(RUN, keep=False)
    if same.any():
        apart = frame[same].groupby(RUN, sort=False)["value"].nunique()
        if n := int((apart > 1).sum()):
            notes.append(f"{n:,} cells have several values for one seed, and nothing tells them apart: averaged.")
        means = frame.groupby(RUN, sort=False)["value"].transform("mean")
        frame = frame.assign(value=means).drop_duplicates(RUN)
    return frame, notes


def _by_labels(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table with the label budget in the names of the protocols that have several."""
    budgets = frame[["protocol", "labels"]].drop_duplicates()["protocol"].value_counts()
    several = frame["protocol"].isin(budgets[budgets > 1].index) & (frame["labels"] != "")
    return frame.assign(protocol=(frame["protocol"] + "@" + frame["labels"]).where(several, frame["protocol"]))


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
