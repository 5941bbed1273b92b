"""A results table -> means with intervals: every model under every protocol on every data set, seeds gathered.

A column is what can be ranked: one protocol, metric and split on one data set, or the mean over all data sets. All
arrays of a column are over the grid's models, NaN where a model was not measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from acclimate.comparison.sides import check_units
from acclimate.comparison.table import ROW
from acclimate.errors import DataError
from acclimate.reports.read.frames import COSTS, groups_of, sizes_of, told_apart
from acclimate.stats import larger_is_better, student

if TYPE_CHECKING:
    import pandas as pd

Float64 = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

ALL: Final = -1  # the data set of a column that is a mean over all of them


@dataclass(frozen=True)
class Measure:
    """One number that models can be ranked by; ``split`` is empty where the table has none."""

    protocol: str
    metric: str
    split: str
    higher: bool


@dataclass(frozen=True, eq=False)
class RankColumn:
    """One measure (its index) on one data set (its index, or `ALL`): mean, interval and count of runs, each (n,).

    Over all data sets ``parts`` (d, n) has the numbers behind the means, and the interval is that of the difference to
    the best, put around the model's mean: it reaches the best's mean where the two cannot be told apart.
    """

    measure: int
    dataset: int
    mean: Float64
    low: Float64
    high: Float64
    runs: Index
    parts: Float64 | None = None


@dataclass(frozen=True, eq=False)
class Grid:
    """Everything that the interactive part of a page draws."""

    models: list[str]
    datasets: list[str]
    measures: list[Measure]
    columns: list[RankColumn]
    random: npt.NDArray[np.bool_]  # (n,): models that began from random numbers
    groups: dict[str, list[str]]  # name of a grouping -> the group of each model
    costs: dict[tuple[str, int], Float64]  # (protocol, data set or `ALL`) -> mean cost of each model
    cost: str  # what the costs are of
    sizes: Float64 | None  # numbers of parameters, (n,)
    frame: pd.DataFrame  # seeds kept, protocols told apart: what `comparison` may be asked about
    rows: int
    notes: list[str] = field(default_factory=list)


def build(frame: pd.DataFrame) -> Grid | None:
    """Return the grid of a table (see `frames.table_of`), or None where fewer than two models have a number."""
    import pandas as pd

    frame = frame[frame["value"].notna()]
    frame, notes = told_apart(frame)
    frame, costs, cost = _priced(frame)
    if frame["model"].nunique() < 2:
        return None
    (model, names), (dataset, sets) = (pd.factorize(frame[name]) for name in ("model", "dataset"))
    models, datasets = list(names), list(sets)
    keys = frame[["protocol", "metric", "split"]].drop_duplicates().itertuples(index=False, name=None)
    measures = [Measure(p, m, s, larger_is_better(m)) for p, m, s in keys]
    measure = frame.groupby(["protocol", "metric", "split"], sort=False).ngroup().to_numpy()
    place = measure, dataset, model
    single = _columns(place, frame["value"].to_numpy(dtype=np.float64), len(datasets), len(models))
    random = np.zeros(len(models), bool)
    random[model[frame["_random"].to_numpy(bool)]] = True
    return Grid(
        models=models,
        datasets=datasets,
        measures=measures,
        columns=[*_over_all(single, measures, notes), *single],
        random=random,
        groups=groups_of(frame, models),
        costs=_costs(costs, models, datasets) if cost else {},
        cost=cost,
        sizes=sizes_of(frame, models),
        frame=frame,
        rows=len(frame),
        notes=notes,
    )


def mixed_units(grid: Grid) -> list[str]:
    """Return a sentence for each column in which percentages and fractions seem to be mixed; a few are enough."""
    sentences = []
    for column in grid.columns:
        measured = column.mean[np.isfinite(column.mean)]
        if column.dataset == ALL or measured.max() <= 1 or measured.min() > 1:
            continue
        own, dataset = grid.measures[column.measure], grid.datasets[column.dataset]
        wanted = {"protocol": own.protocol, "metric": own.metric, "split": own.split, "dataset": dataset}
        rows = grid.frame
        for name, value in wanted.items():
            rows = rows[rows[name] == value]
        try:
            check_units(rows.assign(**{ROW: rows.index + 1}), f"'{own.protocol}' on '{dataset}'", None, own.metric)
        except DataError as error:
            sentences.append(f"{str(error).split(';')[0]}: add a column 'unit' with fraction or percent.")
    return sentences[:3]


def _columns(place: tuple[Any, Any, Any], values: Float64, datasets: int, n: int) -> list[RankColumn]:
    """Return the column of each measure and data set that occurs, seeds gathered."""
    measure, dataset, model = place
    column, which = np.unique(measure * datasets + dataset, return_inverse=True)
    cell = which * n + model
    size = len(column) * n
    runs = np.bincount(cell, minlength=size)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(cell, values, size) / runs
        squares = np.bincount(cell, (values - mean[cell]) ** 2, size)
        half = student(runs - 1) * np.sqrt(squares / (runs - 1) / runs)
    shape = len(column), n
    mean, half, runs = mean.reshape(shape), half.reshape(shape), runs.reshape(shape)
    return [
        RankColumn(int(key) // datasets, int(key) % datasets, mean[i], mean[i] - half[i], mean[i] + half[i], runs[i])
        for i, key in enumerate(column)
    ]


def _over_all(single: Sequence[RankColumn], measures: Sequence[Measure], notes: list[str]) -> list[RankColumn]:
    """Return the mean over data sets of each measure that is on several, for the models that have all of them."""
    columns, fewer = [], 0
    for measure, own in enumerate(measures):
        parts = [column for column in single if column.measure == measure]
        if len(parts) < 2:
            continue
        values = np.stack([column.mean for column in parts])
        whole = np.asarray(np.isfinite(values).all(axis=0))
        fewer += bool(0 < whole.sum() < np.isfinite(values).any(axis=0).sum())
        if whole.sum() > 1:
            columns.append(_mean_column(measure, values, whole, higher=own.higher))
    if fewer:
        notes.append("Means over all data sets leave out models that were not measured on each of them.")
    return columns


def _mean_column(measure: int, values: Float64, whole: npt.NDArray[np.bool_], *, higher: bool) -> RankColumn:
    """Return the mean over data sets (d, n) with the interval of the paired difference to the best.

    A hard data set is hard for all, so the spread of the numbers says little; that of differences says what another
    choice of data sets could change.
    """
    d = len(values)
    mean = np.where(whole, values.mean(axis=0), np.nan)
    best = int(np.nanargmax(mean if higher else -mean))
    error = (values - values[:, [best]]).std(axis=0, ddof=1) / np.sqrt(d)
    half = student(d - 1) * np.where(whole, error, np.nan)
    parts = np.where(whole, values, np.nan)
    return RankColumn(measure, ALL, mean, mean - half, mean + half, np.where(whole, d, 0), parts)


def _priced(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """Return the numbers without those that are costs, the costs as ``model, dataset, protocol, cost``, and their name.

    A cost is a column of its own or a metric of that name.
    """
    import pandas as pd

    is_cost = frame["metric"].str.lower().str.endswith(COSTS)
    name = next((c for c in frame.columns if str(c).lower() in COSTS), "")
    if name:
        frame, is_cost = frame[~is_cost], is_cost[~is_cost]
        costs = frame.assign(cost=pd.to_numeric(frame[name], errors="coerce"))
        costs = costs.drop_duplicates(["model", "dataset", "protocol", "seed", "cost"])
    elif is_cost.any():
        name = str(frame.loc[is_cost, "metric"].iloc[0])
        costs = frame[frame["metric"] == name].rename(columns={"value": "cost"}).assign(protocol="")
        frame = frame[~is_cost]
    else:
        return frame, frame.iloc[:0], ""
    return frame, costs[["model", "dataset", "protocol", "cost"]], name if (costs["cost"] > 0).any() else ""


def _costs(costs: pd.DataFrame, models: list[str], datasets: list[str]) -> dict[tuple[str, int], Float64]:
    """Return mean costs by protocol and data set, and over the data sets of each protocol."""
    positive = costs[(costs["cost"] > 0) & costs["model"].isin(models) & costs["dataset"].isin(datasets)]
    means = positive.groupby(["protocol", "dataset", "model"])["cost"].mean().unstack("model").reindex(columns=models)
    places = [(protocol, datasets.index(dataset)) for protocol, dataset in means.index]
    by_place = dict(zip(places, means.to_numpy(dtype=np.float64), strict=True))
    for protocol in dict.fromkeys(key[0] for key in by_place):
        parts = np.stack([column for key, column in by_place.items() if key[0] == protocol])
        if len(parts) > 1:
            by_place[protocol, ALL] = parts.mean(axis=0)
    return by_place
