"""Rows of one protocol that differ in a setting or a label budget -> protocols of their own names.

Without this, kNN on raw and on normalised features would be averaged as if they were seeds of one thing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from acclimate.comparison.baseline import SIZES
from acclimate.comparison.table import KEY, ROW

if TYPE_CHECKING:
    import pandas as pd

CORE: Final = ("model", "dataset", "protocol", "metric", "value", "seed", "split", "labels", "_random", ROW, KEY)
RUN: Final = ["model", "dataset", "protocol", "metric", "split", "seed"]
COSTS: Final = ("seconds", "elapsed", "time", "cost", "gflops", "gmacs", "flops", "macs")
MOST: Final = 3  # columns that a name may grow by


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
