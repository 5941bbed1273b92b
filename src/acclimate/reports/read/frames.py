"""What lies in a folder -> one results table in long format, and its protocols and groups of models told apart.

The table is of our own rows, and of tables from anywhere. Names are made visible here, once for each different one, so
that everything behind this file may show them. Rows of one protocol that differ in a setting or a label budget become
protocols of their own names: kNN on raw and on normalised features would else be averaged as if they were seeds of one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from acclimate.comparison.references import SIZES, size_list
from acclimate.comparison.table import KEY, ROW, read_table, tidy
from acclimate.errors import DataError
from acclimate.reports.read.collect import Contents, Doc, part, words
from acclimate.reports.read.leaderboard import EPISODES_ENDS, competes, random_start
from acclimate.reports.text import number, visible

if TYPE_CHECKING:
    import pandas as pd

CORE: Final = ("model", "dataset", "protocol", "metric", "value", "seed", "split", "labels")
RANDOM: Final = "_random"  # whether a row says that its model began from random numbers
KNOWN: Final = (*CORE, RANDOM, ROW, KEY)
RUN: Final = ["model", "dataset", "protocol", "metric", "split", "seed"]
COSTS: Final = ("seconds", "elapsed", "time", "cost", "gflops", "gmacs", "flops", "macs")
MOST: Final = 3  # columns that a name may grow by
MOST_GROUPS: Final = 24  # more would be a list of models: the smallest are then gathered
MOST_GROUPINGS: Final = 4
NONE: Final = "(none)"
REST: Final = "(other)"
BY_NAME: Final = "name begins with"
FIRST: Final = ("family", "backbone", "architecture", "pretraining")


def table_of(contents: Contents) -> tuple[pd.DataFrame | None, list[str]]:
    """Return every number that was found, one line each, and a sentence for each table that cannot be used.

    The columns are those of `comparison.read_table`; text is visible, `RANDOM` is a bool. None without a number.
    """
    import pandas as pd

    parts, problems = [], []
    for name, path in contents.tables:
        try:
            parts.append(read_table(path))
        except DataError as error:
            problems.append(f"Left out: {name}. {visible(str(error)).replace(str(path), name)}.")
    if lines := [line for row in contents.rows if competes(row) for line in _lines(row)]:
        parts.append(tidy(pd.DataFrame(lines), "rows"))
    if not parts:
        return None, problems
    frame = pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]
    return _visible(frame), problems


def _lines(row: Doc) -> list[dict[str, Any]]:
    """Return one line for each number of a row of our own."""
    named = {key: words(row, key) for key in ("model", "dataset", "protocol")}
    if not all(named.values()):
        return []
    settings = {k: v for k, v in part(row, "settings").items() if isinstance(v, str | int | float | bool)}
    simple = {k: v for k, v in settings.items() if k not in (*CORE, "unit", "seconds", "parameters", ROW, KEY)}
    about = {
        **simple,
        **named,
        "seed": words(row, "seed"),
        "labels": words(row, "labels"),
        "seconds": number(row.get("seconds")),
        "parameters": number(row.get("total")),
        RANDOM: random_start(row),
    }
    return [
        {**about, "split": split, "metric": metric, "value": value}
        for split, metrics in part(row, "metrics").items()
        if isinstance(metrics, dict)
        for metric, cell in metrics.items()
        if metric not in ("", "n", *EPISODES_ENDS) and (value := number(cell)) is not None
    ]


def _visible(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table with text that is visible, empty for a missing cell, and a row's random start as a bool."""
    columns = {}
    for name in frame.columns:
        if name in ("value", ROW, KEY):
            continue
        values = frame[name].astype(object).where(frame[name].notna(), "").tolist()
        spelt = {value: visible(str(value)) for value in set(values)}
        columns[visible(str(name))] = [spelt[value] for value in values]
    import pandas as pd

    # Plain Python strings: pandas' own are slow to walk through, one cell after the other.
    named = pd.DataFrame(columns, dtype=object).assign(value=frame["value"].to_numpy())
    for name in ("seed", "split", "labels"):
        if name not in named.columns:
            named[name] = ""
    random = named[RANDOM] == "True" if RANDOM in named.columns else False
    named[RANDOM] = random | named["model"].str.startswith("random:")
    return named


def told_apart(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return the table in which one model, data set, protocol, metric, split and seed have one value, and notes.

    A protocol with several label budgets becomes ``NAME@LABELS``; one whose rows disagree, ``NAME [COLUMN=VALUE]``
    for the columns that tell them apart. What still disagrees is averaged, and a note says so.
    """
    frame, notes = _by_labels(frame), []
    other = _settings(frame)
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


def _settings(frame: pd.DataFrame) -> list[str]:
    """Return the columns of which nothing is known: settings of protocols, and groups of models."""
    return [str(c) for c in frame.columns if c not in (*KNOWN, *SIZES) and str(c).lower() not in COSTS]


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
    names = sorted(_settings(frame), key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))
    groupings = [(name, group) for name in names if (group := _of_column(frame, name, models))]
    return dict(groupings[:MOST_GROUPINGS]) or _of_names(models)


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
