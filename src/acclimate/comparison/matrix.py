"""Every data set against every other one at once: the matrix of one proxy, and its averages in and out of domain.

`domains` asks every number of every cell. This is the cheap form of it, Spearman and regret alone, for a page that
shows them of many proxies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from acclimate.comparison.domains import Shifts
from acclimate.comparison.question import Question
from acclimate.comparison.resamples import make_resamples
from acclimate.comparison.sides import ScoreColumn, mean_over
from acclimate.stats import LEAST_MODELS, correlate, percentile_interval
from acclimate.stats.correlations import Float64, ones

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Matrix:
    """One proxy, read on each data set (rows), against the target on each (columns): all (d, d), NaN if undefined."""

    proxy: str
    spearman: Float64
    low: Float64
    high: Float64
    models: Float64
    regret: Float64


def matrices(
    sides: Mapping[str, Mapping[str, ScoreColumn]], datasets: Sequence[str], shifts: Shifts, question: Question
) -> tuple[list[Matrix], list[dict[str, Any]]]:
    """Return the matrix of each proxy of a question, and averages over its parts with cells.

    ``sides`` are protocol -> data set -> column, all over the same n models; ``datasets`` the rows and columns of the
    matrices, in order. An average has ``proxy, part, spearman, low, high, cells``; its parts are in domain, out of
    domain, and out of domain by kind of shift. All intervals are over the same resamples of the models.
    """
    y = _values(sides[question.target], datasets)
    counts = make_resamples(len(y), [], None, resamples=question.resamples, seed=question.seed).counts
    parts = _parts(datasets, shifts)
    by_proxy, averages = [], []
    for proxy in question.proxies:
        matrix, resampled = _matrix(proxy, _values(sides[proxy], datasets), y, counts, question.level)
        by_proxy.append(matrix)
        averages += [
            {"proxy": proxy, "part": part, **_average(matrix, resampled, mask & np.isfinite(matrix.spearman), question)}
            for part, mask in parts.items()
            if (mask & np.isfinite(matrix.spearman)).any()
        ]
    return by_proxy, averages


def _matrix(proxy: str, x: Float64, y: Float64, counts: Float64, level: float) -> tuple[Matrix, Float64]:
    """Return the matrix of values (n, d), and Spearman in each resample (r, d, d)."""
    models = (np.isfinite(x).astype(float).T @ np.isfinite(y)).round()
    enough = models >= LEAST_MODELS
    point, resamples = (correlate(x, y, c, pairs=False) for c in (ones(len(x)), counts))
    rho, regret = (np.where(enough, point[name][0], np.nan) for name in ("spearman", "regret"))
    resampled = np.where(enough, resamples["spearman"], np.nan)
    ends = np.full((2, *models.shape), np.nan)
    for i, j in np.ndindex(models.shape):
        ends[:, i, j] = percentile_interval(resampled[:, i, j], n=int(models[i, j]), level=level) or (np.nan, np.nan)
    return Matrix(proxy, rho, ends[0], ends[1], models, regret), resampled


def _values(columns: Mapping[str, ScoreColumn], datasets: Sequence[str]) -> Float64:
    """Return (n, d) values, larger is better; NaN for data sets without a column."""
    missing = np.full(len(next(iter(columns.values())).means), np.nan)
    return np.stack([columns[d].means * columns[d].sign if d in columns else missing for d in datasets], axis=1)


def _parts(datasets: Sequence[str], shifts: Shifts) -> dict[str, Mask]:
    """Return part -> mask (d, d) of its cells."""
    inside = np.eye(len(datasets), dtype=bool)
    parts = {"in domain": inside, "out of domain": ~inside}
    for kind in dict.fromkeys(shifts.values()):
        shifted = [[shifts.get((s, d), shifts.get(("", d))) == kind for d in datasets] for s in datasets]
        parts[kind] = ~inside & np.array(shifted)
    return parts


def _average(matrix: Matrix, resampled: Float64, mask: Mask, question: Question) -> dict[str, Any]:
    """Return the mean over the cells of a mask with its interval."""
    means = mean_over(resampled[:, mask])
    ends = percentile_interval(means, n=int(matrix.models[mask].min()), level=question.level) or (None, None)
    rho = float(matrix.spearman[mask].mean())
    return {"spearman": rho, "low": ends[0], "high": ends[1], "cells": int(mask.sum())}
