"""One cell of an answer: a candidate on one data set against the target on another, with all its resamples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from acclimate.comparison.question import Question
from acclimate.comparison.resamples import Resamples
from acclimate.comparison.sides import ScoreColumn, mean_or_none, mean_over
from acclimate.stats.correlations import STATISTICS, Float64, correlate, logit, ones, pearson
from acclimate.stats.intervals import percentile_interval
from acclimate.stats.resampling import permutation_p

NUMBERS: Final = ("pearson", "pearson_logit", *(name for name in STATISTICS if name != "pearson"))


Numbers = tuple[dict[str, float], dict[str, Float64]]  # name of `NUMBERS` -> its value, and in each resample (r,)


@dataclass(frozen=True, eq=False)
class Candidate:
    """What may predict a target: a proxy on a data set, or a list that never looked at one."""

    name: str  # protocol, or ``static`` or ``size``
    source: str  # data set of a proxy, empty for a list
    column: ScoreColumn | None = None  # of a proxy
    fixed: Float64 | None = None  # values of a list, (n,)

    def values(self, draws: Resamples, k: int) -> Float64:
        """Return (n,) values, larger is better, in outer draw `k`; -1 is as measured."""
        if self.column is not None:
            return draws.values(self.column, k) * self.column.sign
        assert self.fixed is not None
        return self.fixed


@dataclass(frozen=True, eq=False)
class Pairing:
    """A candidate against a target."""

    candidate: Candidate
    target: ScoreColumn
    models: np.ndarray[Any, np.dtype[np.intp]]  # (m,): rows of the models that have both
    point: dict[str, float]  # name of `NUMBERS` -> value
    resampled: dict[str, Float64]  # the same in each resample, (r,)
    alone: dict[str, Float64]  # name -> the value without each model, (n,)
    p: tuple[float, float]  # permutation p-values of Pearson and Spearman; NaN for a list

    @property
    def proxy(self) -> ScoreColumn:
        """The column of a proxy; a list has none."""
        assert self.candidate.column is not None
        return self.candidate.column

    @property
    def n(self) -> int:
        """How many models have both."""
        return len(self.models)

    @property
    def in_domain(self) -> bool:
        """Whether proxy and target are read on the same data set."""
        return self.candidate.source == self.target.dataset


@dataclass(frozen=True, eq=False)
class Target:
    """A target and its candidates."""

    target: ScoreColumn
    candidates: list[Candidate] = field(default_factory=list)


def evaluate(task: Target, draws: Resamples, question: Question) -> list[Pairing]:
    """Return the cells of a target, one for each candidate."""
    x, y = _values(task, draws, -1)
    alone = correlate(x, y, 1 - np.eye(len(x)), pairs=False)
    return [
        Pairing(
            candidate,
            task.target,
            np.flatnonzero(np.isfinite(x[:, i]) & np.isfinite(y[:, 0])),
            *own,
            {name: alone[name][:, i, 0] for name in ("pearson", "spearman", "regret")},
            (math.nan, math.nan)
            if candidate.column is None
            else permutation_p(x[:, i], y[:, 0], permutations=question.resamples, seed=question.seed),
        )
        for i, (candidate, own) in enumerate(zip(task.candidates, numbers(task, draws, question), strict=True))
    ]


def numbers(task: Target, draws: Resamples, question: Question, inside: Float64 | float = 1.0) -> list[Numbers]:
    """Return every number of each candidate, over the models for which ``inside`` ``(n,)`` is 1."""
    blocks = [(-1, ones(draws.counts.shape[1])), *draws.blocks()]
    measured = [_measured(task, draws, k, counts * inside, question) for k, counts in blocks]
    joined = {name: np.concatenate([block[name] for block in measured]) for name in NUMBERS}  # (1 + r, candidates)
    return [
        ({n: float(v[0, i]) for n, v in joined.items()}, {n: v[1:, i] for n, v in joined.items()})
        for i in range(len(task.candidates))
    ]


def _values(task: Target, draws: Resamples, k: int) -> tuple[Float64, Float64]:
    """Return the values of the candidates (n, candidates) and of the target (n, 1) in outer draw `k`."""
    x = np.stack([candidate.values(draws, k) for candidate in task.candidates], axis=1)
    return x, (draws.values(task.target, k) * task.target.sign)[:, None]


def _measured(task: Target, draws: Resamples, k: int, counts: Float64, question: Question) -> dict[str, Float64]:
    correlations = correlate(*_values(task, draws, k), counts, top=question.top)
    logits = _logits(task, draws, k, counts, question)
    return {**{name: values[:, :, 0] for name, values in correlations.items()}, "pearson_logit": logits}


def _logits(task: Target, draws: Resamples, k: int, counts: Float64, question: Question) -> Float64:
    """Return linear correlations (b, candidates) of log odds; NaN where a side is no proportion."""
    missing = np.full(len(counts[0]), np.nan)
    y = _log_odds(task.target, draws, k, question)
    columns = [None if one.column is None else _log_odds(one.column, draws, k, question) for one in task.candidates]
    if y is None or all(column is None for column in columns):
        return np.full((len(counts), len(columns)), np.nan)
    x = np.stack([missing if column is None else column for column in columns], axis=1)
    return pearson(x, y[:, None], counts)[:, :, 0]


def _log_odds(column: ScoreColumn, draws: Resamples, k: int, question: Question) -> Float64 | None:
    if question.unit == "other" or not column.proportion:
        return None
    odds = logit(draws.values(column, k), percent=column.percent(question.unit))
    return None if odds is None else odds * column.sign


def proxied(cells: Sequence[Pairing]) -> list[Pairing]:
    """Return the cells of proxies, without those of fixed lists."""
    return [cell for cell in cells if cell.candidate.column is not None]


def summary(cells: Sequence[Pairing], question: Question) -> dict[str, Any]:
    """Return the numbers of some cells, each the mean over them, with intervals over the models."""
    if not cells:
        return {**dict.fromkeys(NUMBERS), "intervals": dict.fromkeys(NUMBERS), "n_models": 0, "cells": 0}
    models = np.unique(np.concatenate([cell.models for cell in cells]))
    own = [(cell.point, cell.resampled) for cell in cells]
    return {**means(own, min(cell.n for cell in cells), question.level), "n_models": len(models), "cells": len(cells)}


def means(cells: Sequence[Numbers], n: int, level: float) -> dict[str, Any]:
    """Return the mean of each number over some cells, None where it is nowhere defined, with intervals."""
    points = {name: mean_or_none([point[name] for point, _ in cells]) for name in NUMBERS}
    resampled = {name: mean_over(np.stack([values[name] for _, values in cells]), axis=0) for name in NUMBERS}
    return {**points, "intervals": {name: bounds(values, n, level) for name, values in resampled.items()}}


def lead(a: Sequence[Pairing], b: Sequence[Pairing], name: str, question: Question) -> dict[str, float] | None:
    """Return a number's mean over `a` less that over `b`, with its interval over the same resamples, or None."""
    x, y = (mean_or_none([cell.point[name] for cell in cells]) for cells in (a, b))
    if x is None or y is None:
        return None
    resampled = [mean_over(np.stack([cell.resampled[name] for cell in cells]), axis=0) for cells in (a, b)]
    difference = resampled[0] - resampled[1]
    ends = bounds(difference, min(cell.n for cell in (*a, *b)), question.level)
    return {"difference": x - y, **(ends or {})}


def bounds(values: Float64, n: int, level: float) -> dict[str, float] | None:
    """Return an interval as a document has it; ``mean`` is that of the resamples."""
    ends = percentile_interval(values, n=n, level=level)
    return None if ends is None else {"low": ends[0], "high": ends[1], "mean": float(np.nanmean(values))}
