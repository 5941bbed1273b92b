"""Does a cheap protocol foresee an expensive one, in domain and out of it: asked of `comparison`, for the page to show.

Every number here is one that `comparison` computed; this file only chooses what to ask, and on how many resamples.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from acclimate.comparison import Matrix, Question, analyse, matrices
from acclimate.comparison.domains import Shifts, shifts_of
from acclimate.comparison.sides import ScoreColumn, nearest, side
from acclimate.comparison.table import ROW
from acclimate.errors import DataError
from acclimate.reports.read.grid import ALL, Grid
from acclimate.reports.text import visible
from acclimate.stats import LEAST_MODELS, LEVEL

if TYPE_CHECKING:
    import pandas as pd

PROXIES: Final = 12  # more would be a wall of numbers
DATASETS: Final = 30
SMALL: Final = 20_000  # rows; in a larger table seeds are averaged before anything is drawn
RESAMPLES: Final = (100, 500)  # at least and at most
WORK: Final = 2e8  # resamples x models x proxies x pairs of data sets: some seconds
CLEARLY: Final = 1.5  # times the cost of the next, to be called the dearest
_DEAR: Final = re.compile(r"fine-?_?tun|full", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Foresight:
    """What `comparison` answered."""

    target: str
    datasets: list[str]
    answer: dict[str, Any]  # the document of `comparison.analyse`, of the proxies on their own data sets
    matrices: list[Matrix]
    sides: dict[str, dict[str, ScoreColumn]]  # protocol -> data set -> what was compared; the target's too
    averages: list[dict[str, Any]] = field(default_factory=list)  # see `comparison.matrices`
    notes: list[str] = field(default_factory=list)


def target_of(grid: Grid, wish: str | None) -> str | None:
    """Return the protocol to be predicted: the one asked for, else a finetuning, else the dearest; None if unclear.

    Raises `DataError` if there is no protocol of the name that was asked for.
    """
    names = list(dict.fromkeys(measure.protocol for measure in grid.measures))
    several = len(names) > 1
    if wish is not None:
        if wish not in names:
            raise DataError(nearest("protocol", wish, names))
        return wish
    counts = {name: [np.isfinite(c.mean).sum() for c in grid.columns if _of(grid, c, name)] for name in names}
    names = [name for name in names if max(counts[name]) >= LEAST_MODELS]
    if dear := [name for name in names if _DEAR.search(name)]:
        return max(dear, key=lambda name: sum(counts[name]))
    costs = {name: _cost(grid, name) for name in names}
    if not names or not several or not all(np.isfinite(cost) for cost in costs.values()):
        return None
    dearest = max(names, key=lambda name: costs[name])
    others = [cost for name, cost in costs.items() if name != dearest]
    return dearest if costs[dearest] > CLEARLY * max(others) else None


def _of(grid: Grid, column: Any, name: str) -> bool:
    return bool(column.dataset != ALL and grid.measures[column.measure].protocol == name)


def _cost(grid: Grid, protocol: str) -> float:
    by_dataset = [costs for (name, dataset), costs in grid.costs.items() if name == protocol and dataset != ALL]
    values = np.concatenate(by_dataset) if by_dataset else np.array([np.nan])
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def ask(grid: Grid, target: str) -> tuple[Foresight | None, str]:
    """Return what `comparison` says of every other protocol as a proxy of the target; or None and why not."""
    names = [n for n in dict.fromkeys(m.protocol for m in grid.measures) if n != target]
    if not names:
        return None, "there is one protocol only"
    means = _means(grid)
    try:
        metric = _metric(grid, target)
        sides, left_out = _sides(grid, means, [target, *names], Question((target,), target, metric=metric))
        proxies, more = _proxies(grid, sides, names, target)
        datasets = [d for d in grid.datasets if d in sides[target] or any(d in sides[p] for p in proxies)][:DATASETS]
        question, notes = _question(grid, Question(tuple(proxies), target, metric=metric), len(datasets))
        rows = means if grid.rows > SMALL else grid.frame.assign(**{ROW: range(1, len(grid.frame) + 1)})
        answer = analyse(rows[rows["dataset"].isin(datasets)], question)
    except DataError as error:
        return None, visible(str(error))
    by_proxy, averages = matrices(sides, datasets, _shifts(grid, question), question)
    return Foresight(target, datasets, answer, by_proxy, sides, averages, [*more, *notes, *left_out]), ""


def _proxies(
    grid: Grid, sides: dict[str, dict[str, ScoreColumn]], names: list[str], target: str
) -> tuple[list[str], list[str]]:
    """Return the proxies that share models with the target, the cheapest first, and a note if some are left out."""
    usable = [name for name in names if name in sides and _shared(sides[name], sides[target]) >= LEAST_MODELS]
    if not usable:
        raise DataError(f"no other protocol shares {LEAST_MODELS} models on one data set with '{target}'")
    ordered = sorted(usable, key=lambda name: (np.nan_to_num(_cost(grid, name), nan=0.0), names.index(name)))
    return ordered[:PROXIES], [f"{PROXIES} of {len(usable)} proxies are shown"] if len(usable) > PROXIES else []


def _metric(grid: Grid, target: str) -> str | None:
    """Return the metric to ask for: None leaves it to `comparison`, which takes accuracy, or the only one there is."""
    places = [(grid.measures[c.measure].metric, c.dataset) for c in grid.columns if _of(grid, c, target)]
    sets = [dataset for _, dataset in places]
    if any(metric == "accuracy" or sets.count(dataset) == 1 for metric, dataset in places):
        return None
    return places[0][0]


def _question(grid: Grid, plain: Question, datasets: int) -> tuple[Question, list[str]]:
    """Return what to ask in full, fewer resamples where there is much to do, and what a reader must know of that."""
    small, notes = grid.rows <= SMALL, []
    if len(grid.datasets) > datasets == DATASETS:
        notes.append(f"the first {DATASETS} of {len(grid.datasets):,} data sets are compared")
    if not small:
        notes.append(f"of {grid.rows:,} rows seeds were averaged first, so intervals draw models only")
    by = next((name for name in grid.groups if small and name in grid.frame.columns), None)
    work = len(grid.models) * len(plain.proxies) * datasets**2
    resamples = int(min(max(WORK / work, RESAMPLES[0]), RESAMPLES[1]))
    return replace(plain, by=by, resamples=resamples, level=LEVEL), notes


def _means(grid: Grid) -> pd.DataFrame:
    """Return the grid as a table with one line for each cell, and what `comparison` may group or order models by."""
    import pandas as pd

    lines = []
    for column in grid.columns:
        there = np.flatnonzero(np.isfinite(column.mean))
        if column.dataset == ALL or not len(there):
            continue
        own = grid.measures[column.measure]
        about = {"dataset": grid.datasets[column.dataset], "protocol": own.protocol, "metric": own.metric}
        named = {"model": [grid.models[i] for i in there], "split": own.split, **about}
        lines.append(pd.DataFrame(named, dtype=object).assign(value=column.mean[there]))
    means = pd.concat(lines, ignore_index=True)
    if grid.sizes is not None:
        sizes = dict(zip(grid.models, grid.sizes, strict=True))
        means["parameters"] = [str(sizes[model]) for model in means["model"]]
    means[ROW] = np.arange(1, len(means) + 1)
    return means


def _sides(
    grid: Grid, means: pd.DataFrame, names: list[str], question: Question
) -> tuple[dict[str, dict[str, ScoreColumn]], list[str]]:
    """Return protocol -> data set -> column, and which data sets were left out and why; the target must be there."""
    by_protocol: dict[str, dict[str, ScoreColumn]] = {}
    left_out: list[str] = []
    target = question.target
    own = dict(iter(means.groupby("protocol", sort=False)))
    for name in names:
        try:
            by_protocol[name] = side(own[name], name, question, grid.models, left_out, target=name == target)
        except DataError as error:
            if name == target:
                raise
            left_out.append(str(error))
    return by_protocol, [visible(why) for why in dict.fromkeys(left_out)][:5]


def _shared(proxy: dict[str, ScoreColumn], target: dict[str, ScoreColumn]) -> int:
    both = [np.isfinite(proxy[d].means) & np.isfinite(target[d].means) for d in proxy if d in target]
    return max((int(b.sum()) for b in both), default=0)


def _shifts(grid: Grid, question: Question) -> Shifts:
    """Return the kinds of shift that the table has; none where they contradict each other."""
    try:
        return shifts_of(grid.frame, question)
    except DataError:  # of the table's own column, which a report need not be stopped by
        return {}
