"""Ranks that say how sure they are: from which to which place a model could stand, by intervals alone."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from acclimate.reports.read.grid import ALL, Float64, Grid, Index, RankColumn
from acclimate.reports.read.leaderboard import Board, BoardEntry
from acclimate.reports.text import number
from acclimate.stats import student
from acclimate.stats.metrics import title


class Ranks(NamedTuple):
    """Ranks (n,) of the models of a column, 0 for a model that was not measured.

    ``rank`` is by the mean, equals share one. ``first`` and ``last`` are the best and worst rank that is left open, as
    only some models are surely ahead: on one data set those whose whole interval is better, over all data sets those
    whose difference, paired over the data sets, is beyond chance. Without an interval all is open.
    """

    rank: Index
    first: Index
    last: Index


def ranks_of(column: RankColumn, higher: bool) -> Ranks:
    """Return the ranks of a column; where nothing says how sure they are, ``first`` and ``last`` are all 0."""
    sign = 1.0 if higher else -1.0
    there = np.isfinite(column.mean)
    mean = sign * column.mean[there]
    n = len(mean)
    rank = n - np.searchsorted(np.sort(mean), mean, "right") + 1
    if column.parts is not None:
        first, last = _paired(sign * column.parts[:, there])
    else:
        first, last = _apart(sign * np.stack([column.low[there], column.high[there]]))
    whole = np.zeros((3, len(there)), np.int64)
    whole[:, there] = rank, first, last
    return Ranks(*whole)


def _apart(ends: Float64) -> tuple[Index, Index]:
    """Return first and last ranks by intervals (2, n) that do not meet."""
    bounded, n = np.isfinite(ends).all(axis=0), ends.shape[1]
    if not bounded.any():
        return np.zeros(n, np.int64), np.zeros(n, np.int64)
    low, high = np.where(bounded, ends.min(axis=0), -np.inf), np.where(bounded, ends.max(axis=0), np.inf)
    first = n - np.searchsorted(np.sort(low), high, "right") + 1
    return first, n - np.searchsorted(np.sort(high), low, "left")


def _paired(values: Float64) -> tuple[Index, Index]:
    """Return first and last ranks by paired differences of ``values`` (d, n), Student's t, each pair by itself."""
    d, n = values.shape
    mean = values.mean(axis=0)
    covariance = (values - mean).T @ (values - mean) / (d - 1)
    own = np.diag(covariance)
    variance = own[:, None] + own[None] - 2 * covariance  # (n, n) of the differences
    variance[variance < 1e-12 * (own[:, None] + own[None])] = 0  # what cancellation leaves is no spread
    ahead = mean[None] - mean[:, None]  # (n, n): how far column j is ahead of row i
    sure = np.abs(ahead) > np.maximum(student(d - 1) * np.sqrt(variance / d), 1e-12)
    better = (sure & (ahead > 0)).sum(axis=1)
    return better + 1, n - (sure & (ahead < 0)).sum(axis=1)


def headline(grid: Grid, target: str | None) -> RankColumn:
    """Return the column that the page opens with: the target protocol, accuracy first, over all data sets.

    Of several splits it is validation, as a choice is made there; without a target, the protocol with most models.
    """

    def first(column: RankColumn) -> tuple[bool, ...]:
        measure = grid.measures[column.measure]
        wished = target is None or measure.protocol == target
        return wished, measure.metric == "accuracy", measure.split == "val", measure.split == "test"

    def size(column: RankColumn) -> tuple[bool, bool, int, int]:
        n = int(np.isfinite(column.mean).sum())
        most = max(int(np.isfinite(c.mean).sum()) for c in grid.columns if c.measure == column.measure)
        return 2 * n >= most, column.dataset == ALL, n, -column.measure

    return max(grid.columns, key=lambda column: (*first(column), *size(column), -column.dataset))


def board(grid: Grid, column: RankColumn) -> Board:
    """Return a column as a leaderboard."""
    measure = grid.measures[column.measure]
    ranks = ranks_of(column, measure.higher)
    order = sorted(np.flatnonzero(ranks.rank), key=lambda i: (ranks.rank[i], grid.models[i]))
    entries = [_entry(grid, column, ranks, int(i)) for i in order]
    return Board(
        metric=_named(grid, column), higher=measure.higher, entries=entries, dataset=_where(grid, column), basis="grid"
    )


def _named(grid: Grid, column: RankColumn) -> str:
    """Return the metric with its split, behind its protocol where there are several."""
    measure = grid.measures[column.measure]
    split = {"val": "validation"}.get(measure.split, measure.split)
    several = len({other.protocol for other in grid.measures}) > 1
    words = (measure.protocol if several else "", split, title(measure.metric).replace("_", " "))
    return " ".join(filter(None, words))


def _where(grid: Grid, column: RankColumn) -> str:
    if column.dataset != ALL:
        return grid.datasets[column.dataset]
    return f"average over {sum(c.measure == column.measure for c in grid.columns) - 1} data sets"


def _entry(grid: Grid, column: RankColumn, ranks: Ranks, i: int) -> BoardEntry:
    bounded = ranks.first.any()
    tied = int(ranks.first[i]) == 1 if bounded else int(ranks.rank[i]) == 1
    costs = grid.costs.get((grid.measures[column.measure].protocol, column.dataset))
    return BoardEntry(
        name=grid.models[i],
        rank=1 if tied else int(ranks.rank[i]),
        final=float(column.mean[i]),
        low=number(column.low[i]),
        high=number(column.high[i]),
        tied=tied,
        random=bool(grid.random[i]),
        seconds=None if costs is None or grid.cost != "seconds" else number(costs[i]),
        seeds=int(column.runs[i]) if column.dataset != ALL else 1,
        reach=(int(ranks.first[i]), int(ranks.last[i])) if bounded else None,
    )
