"""The grid as compact columns of numbers, for the page's script: each number once, six significant digits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from acclimate.comparison import Matrix
from acclimate.reports.read.foresight import Foresight
from acclimate.reports.read.grid import Float64, Grid, RankColumn
from acclimate.reports.read.ranks import headline, ranks_of
from acclimate.stats import LEVEL

Numbers = list[float | None]


def payload(grid: Grid, foresight: Foresight | None, target: str | None) -> dict[str, Any]:
    """Return what live sections are drawn from.

    Names are as they are: the script makes text nodes of them, and escapes what it hands to Plotly. Columns hold one
    array each of means, ends of intervals and ranks over the models.
    """
    opening = headline(grid, target)
    return {
        "models": grid.models,
        "datasets": grid.datasets,
        "random": [int(i) for i in np.flatnonzero(grid.random)],
        "groups": [_grouping(name, of) for name, of in grid.groups.items()],
        "measures": [
            {"protocol": m.protocol, "metric": m.metric, "split": m.split, "higher": m.higher} for m in grid.measures
        ],
        "columns": [_column(grid, column) for column in grid.columns],
        "costs": [{"protocol": p, "dataset": d, "values": numbers(values)} for (p, d), values in grid.costs.items()],
        "cost": grid.cost,
        "level": round(100 * LEVEL),
        "sizes": None if grid.sizes is None else numbers(grid.sizes),
        "trust": None if foresight is None else _foresight(grid, foresight),
        "opening": {"measure": opening.measure, "dataset": opening.dataset},
    }


def numbers(values: Iterable[float]) -> Numbers:
    """Return numbers with six significant digits, None for what is not finite."""
    return [float(f"{v:.6g}") if v == v and abs(v) != np.inf else None for v in map(float, values)]


def _grouping(name: str, of: list[str]) -> dict[str, Any]:
    """Return a grouping: its groups, the largest first, and the group of each model by number."""
    sizes = {group: of.count(group) for group in dict.fromkeys(of)}
    groups = sorted(sizes, key=lambda group: (group.startswith("("), -sizes[group], group))
    return {"name": name, "groups": groups, "of": [groups.index(group) for group in of]}


def _column(grid: Grid, column: RankColumn) -> dict[str, Any]:
    ranks = ranks_of(column, grid.measures[column.measure].higher)
    out: dict[str, Any] = {"measure": column.measure, "dataset": column.dataset, "mean": numbers(column.mean)}
    if ranks.first.any():
        ends = {"low": numbers(column.low), "high": numbers(column.high)}
        out |= ends | {"first": ranks.first.tolist(), "last": ranks.last.tolist()}
    runs = column.runs[column.runs > 0]
    same = len(set(runs.tolist())) == 1
    return out | {"rank": ranks.rank.tolist(), "runs": int(runs[0]) if same else column.runs.tolist()}


def _foresight(grid: Grid, foresight: Foresight) -> dict[str, Any]:
    where = {name: i for i, name in enumerate(grid.datasets)}
    sets = [where[name] for name in foresight.datasets]
    return {
        "target": foresight.target,
        "datasets": sets,
        "column": _places(grid, foresight, foresight.target),
        "level": round(100 * foresight.answer["level"]),
        "proxies": [_matrix(grid, foresight, matrix) for matrix in foresight.matrices],
    }


def _places(grid: Grid, foresight: Foresight, protocol: str) -> list[int]:
    """Return the number of the grid's column behind each data set of the matrix; -1 where there is none."""
    places = {
        (own.protocol, own.metric, own.split, grid.datasets[c.dataset]): i
        for i, c in enumerate(grid.columns)
        if c.dataset >= 0 and (own := grid.measures[c.measure])
    }
    sides = foresight.sides[protocol]
    return [
        places.get((protocol, sides[d].metric, sides[d].split, d), -1) if d in sides else -1 for d in foresight.datasets
    ]


def _matrix(grid: Grid, foresight: Foresight, matrix: Matrix) -> dict[str, Any]:
    def flat(values: Float64) -> Numbers:
        return [None if v is None else round(v, 4) for v in numbers(values.ravel())]

    return {
        "proxy": matrix.proxy,
        "column": _places(grid, foresight, matrix.proxy),
        "spearman": flat(matrix.spearman),
        "low": flat(matrix.low),
        "high": flat(matrix.high),
        "models": [int(n) for n in matrix.models.ravel()],
        "regret": numbers(matrix.regret.ravel()),
    }
