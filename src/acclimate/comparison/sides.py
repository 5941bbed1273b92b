"""From a checked table to columns of numbers: one protocol on one data set, every model, every seed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from acclimate.comparison.question import Question
from acclimate.comparison.table import KEY, ROW
from acclimate.errors import DataError, unknown
from acclimate.stats.correlations import Float64
from acclimate.stats.metrics import METRICS, larger_is_better

if TYPE_CHECKING:
    import pandas as pd

LISTED: Final = 40  # names in one message
_GAP: Final = 3  # between the largest fraction and the smallest percentage, before two units are suspected


@dataclass(frozen=True, eq=False)
class ScoreColumn:
    """One protocol on one data set."""

    protocol: str
    dataset: str
    metric: str
    split: str
    runs: Float64  # (n, s): value of each model and seed as the table has it; NaN for a missing cell
    seeds: tuple[str, ...]
    sign: float  # -1 where smaller is better
    keys: npt.NDArray[np.str_]  # (n, s): keys of our own rows, empty for other tables
    empty: int = 0  # rows without a value, which count as missing

    @property
    def means(self) -> Float64:
        """Mean over seeds (n,), NaN for a model without a run."""
        return mean_over(self.runs)

    @property
    def proportion(self) -> bool:
        """Whether all values lie in [0, 1] or [0, 100]."""
        defined = self.runs[np.isfinite(self.runs)]
        return bool(is_proportion(self.metric) and defined.size and defined.min() >= 0 and defined.max() <= 100)

    def percent(self, unit: str | None) -> bool:
        """Whether the values are percent: as declared, else because one is above 1."""
        return unit == "percent" or (unit is None and bool(np.nanmax(self.runs, initial=0) > 1))


def mean_over(values: Float64, axis: int = -1) -> Float64:
    """Return the mean over an axis of what is not NaN; NaN where nothing is left."""
    there = np.isfinite(values)
    n = there.sum(axis=axis)
    total = np.where(there, values, 0).sum(axis=axis)
    return np.where(n > 0, total / np.maximum(n, 1), np.nan)


def mean_or_none(values: npt.ArrayLike) -> float | None:
    """Return the mean of the numbers that are defined, None where none is."""
    numbers = np.asarray(values, dtype=np.float64)
    defined = numbers[np.isfinite(numbers)]
    return float(defined.mean()) if defined.size else None


def is_proportion(metric: str) -> bool:
    """Say whether a metric may be a share; one that is not in `METRICS` may."""
    return metric not in METRICS or METRICS[metric].proportion


def nearest(kind: str, name: str, choices: Iterable[str]) -> str:
    """Return the message for an unknown name, with the choices cut to `LISTED` of many."""
    names = sorted(set(choices))
    text = unknown(kind, name, names)
    if len(names) <= LISTED:
        return text
    return f"{text.split(' one of: ')[0]} one of {len(names)}, such as: {', '.join(names[:LISTED])}"


def side(
    frame: pd.DataFrame, spec: str, question: Question, models: Sequence[str], left_out: list[str], *, target: bool
) -> dict[str, ScoreColumn]:
    """Return the columns of one protocol, or ``PROTOCOL@LABELS``, by data set; ``models`` are the rows of each.

    ``left_out`` gets why data sets are left out that nobody asked for by name. Of several splits the target is read on
    ``test`` and a proxy on ``val``. Raises `DataError` for an unknown name (the nearest is told), a choice that is left
    open, rows that disagree, or mixed units.
    """
    rows = _of_split(_of_labels(frame, spec), spec, "test" if target else "val")
    wanted = _wanted_metric(frame, rows, spec, question.metric, target=target)
    only = question.target_dataset or question.dataset if target else question.dataset
    columns: dict[str, ScoreColumn] = {}
    problem = None
    for dataset, some in rows.groupby("dataset", sort=False):
        name = str(dataset)
        try:
            of_metric = _of_metric(some, spec, name, wanted)
        except DataError as error:  # of a data set that nobody asked for: the others may do
            if name == only:
                raise
            problem = problem or error
            left_out.append(str(error))
            continue
        if of_metric is not None:
            columns[name] = _column(of_metric, spec, name, question, models)
    if problem is not None and not columns:
        raise problem
    return columns


def _of_labels(frame: pd.DataFrame, spec: str) -> pd.DataFrame:
    """Return the rows of a protocol, of one label budget."""
    protocols = set(frame["protocol"])
    name, _, labels = (spec, "", "") if spec in protocols else spec.rpartition("@")
    if name not in protocols:
        raise DataError(nearest("protocol", spec, protocols))
    rows = frame[frame["protocol"] == name]
    if "labels" not in rows.columns:
        if labels:
            raise DataError(f"got the protocol '{spec}', but the table has no column 'labels'; expected '{name}'")
        return rows
    budgets = set(rows["labels"])
    if labels and labels not in budgets:
        raise DataError(nearest(f"label budget of {name}", labels, (b or "all" for b in budgets)))
    if not labels and len(budgets) > 1 and "" not in budgets:
        listed = ", ".join(sorted(budgets)[:LISTED])
        raise DataError(f"'{name}' has rows with the label budgets {listed}; choose one, such as {name}@{min(budgets)}")
    budget = labels or ("" if "" in budgets else next(iter(budgets)))
    return rows[rows["labels"] == budget]


def _of_split(rows: pd.DataFrame, spec: str, preferred: str) -> pd.DataFrame:
    if "split" not in rows.columns:
        return rows
    splits = sorted(set(rows["split"]))
    if len(splits) == 1:
        return rows
    if preferred in splits:
        return rows[rows["split"] == preferred]
    listed = ", ".join(repr(s) for s in splits[:LISTED])
    raise DataError(f"'{spec}' has rows of the splits {listed}; choose one, such as --where split={splits[-1]}")


def _wanted_metric(
    frame: pd.DataFrame, rows: pd.DataFrame, spec: str, metric: str | None, *, target: bool
) -> str | None:
    if metric is None:
        return None
    metrics = set(frame["metric"])
    if metric not in metrics and metric.count(",") == 1:
        metric = metric.split(",")[target].strip()
    if metric not in set(rows["metric"]):
        raise DataError(nearest(f"metric of {spec}", metric, rows["metric"]))
    return metric


def _of_metric(rows: pd.DataFrame, spec: str, dataset: str, wanted: str | None) -> pd.DataFrame | None:
    """Return the rows of the one metric, None where the data set lacks the metric asked for."""
    metrics = sorted(set(rows["metric"]))
    metric = wanted or (metrics[0] if len(metrics) == 1 else "accuracy")
    if metric in metrics:
        return rows[rows["metric"] == metric]
    if wanted is None:
        raise DataError(
            f"'{spec}' on '{dataset}' has the metrics {', '.join(metrics[:LISTED])}; choose one, "
            f"such as --metric {metrics[0]}"
        )
    return None


def _column(rows: pd.DataFrame, spec: str, dataset: str, question: Question, models: Sequence[str]) -> ScoreColumn:
    metric = str(rows["metric"].iloc[0])
    defined = rows[rows["value"].notna()]
    where = f"'{spec}' on '{dataset}', {metric}"
    check_units(defined, where, question.unit, metric)
    defined = _unique(defined, where)
    seeds = list(dict.fromkeys(defined["seed"])) if "seed" in defined.columns else [""]
    runs = np.full((len(models), max(1, len(seeds))), np.nan)
    keys = np.full(runs.shape, "", dtype="<U64")
    model, seed = {m: i for i, m in enumerate(models)}, {s: i for i, s in enumerate(seeds)}
    at_model = [model[m] for m in defined["model"]]
    at_seed = [seed[s] for s in defined["seed"]] if "seed" in defined.columns else [0] * len(defined)
    runs[at_model, at_seed] = defined["value"].to_numpy()
    if KEY in defined.columns:
        keys[at_model, at_seed] = defined[KEY].to_numpy(dtype="<U64")
    larger = larger_is_better(metric) and metric not in question.smaller_is_better
    split = str(rows["split"].iloc[0]) if "split" in rows.columns else ""
    empty = len(rows) - int(rows["value"].notna().sum())
    return ScoreColumn(spec, dataset, metric, split, runs, tuple(seeds), 1.0 if larger else -1.0, keys, empty)


def check_units(rows: pd.DataFrame, where: str, unit: str | None, metric: str) -> None:
    """Raise `DataError` when percentages and fractions seem to be mixed, or values do not fit the unit declared.

    ``rows`` are of one protocol, data set and metric, with the columns ``value`` (no NaN) and `ROW`; ``where`` is their
    name in the message. ``unit`` is as declared, None finds out.
    """
    values = rows["value"].to_numpy()
    if unit == "other" or not is_proportion(metric) or values.size == 0:
        return
    if unit is not None:
        limit = 1 if unit == "fraction" else 100
        outside = rows[(values < 0) | (values > limit)]
        if len(outside):
            raise DataError(
                f"row {outside[ROW].iloc[0]} ({where}) is {outside['value'].iloc[0]:g}; expected 0 to {limit}, as the "
                f"unit is {unit}: choose another --unit, or a column 'unit' if rows differ"
            )
        return
    low, high = (values > 0) & (values <= 1), values > 1
    if values.min() < 0 or values.max() > 100 or not low.any() or not high.any():
        return
    if values[high].min() > _GAP * values[low].max():
        few, many = (low, high) if low.sum() <= high.sum() else (high, low)
        listed = ", ".join(str(r) for r in rows[ROW].to_numpy()[few][:5]) + (", ..." if few.sum() > 5 else "")
        raise DataError(
            f"{where}: {few.sum()} values look like {'fractions' if few is low else 'percent'} (rows {listed}) and "
            f"{many.sum()} like {'percent' if few is low else 'fractions'}; if all are in one unit say --unit percent "
            "(or fraction, other), else add a column 'unit' with fraction or percent"
        )


def _unique(rows: pd.DataFrame, where: str) -> pd.DataFrame:
    """Return one row for each model and seed, or raise `DataError` when two disagree."""
    identity = ["model", "seed"] if "seed" in rows.columns else ["model"]
    twice = rows[rows.duplicated(identity, keep=False)]
    if twice.empty:
        return rows
    for _, group in twice.groupby(identity, sort=False):
        if group["value"].nunique() > 1:
            raise DataError(_disagreement(group, where, seeded="seed" in identity))
    return rows.drop_duplicates(identity)


def _disagreement(group: pd.DataFrame, where: str, *, seeded: bool) -> str:
    first = group.iloc[0]
    second = group[group["value"] != first["value"]].iloc[0]
    seed = f", seed {first['seed']}" if seeded and first["seed"] else ""
    differing = [c for c in group.columns if c not in (ROW, KEY, "value") and first[c] != second[c]]
    cure = "delete one of them" + ("" if seeded else ", or tell runs apart by a column 'seed'")
    if differing:
        name = differing[0]
        cure = f"they differ in '{name}': choose with --where {name}={first[name]}, or compare with --by {name}"
    return (
        f"rows {first[ROW]} and {second[ROW]} disagree: {where}, model '{first['model']}'{seed} is {first['value']:g} "
        f"and {second['value']:g}; {cure}"
    )
