"""In domain against out of domain: a protocol on one data set predicts a protocol on another, the full matrix.

The analysis of Marks et al. (2025), doi 10.1007/s11263-025-02402-w: proxies are compared with what they are to predict
on the same data and under categorical shift (other classes), shift of style, or both. `domains` asks every number of
every cell; `matrices` is the cheap form of it, Spearman and regret alone, for a page that shows them of many proxies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from acclimate.comparison.cells import NUMBERS, Pairing, lead, proxied, summary
from acclimate.comparison.question import Question
from acclimate.comparison.resamples import make_resamples
from acclimate.comparison.sides import ScoreColumn, mean_over
from acclimate.errors import DataError, some
from acclimate.stats import LEAST_MODELS, correlate, percentile_interval
from acclimate.stats.correlations import Float64, ones

if TYPE_CHECKING:
    import pandas as pd

Shifts = dict[tuple[str, str], str]
Mask = npt.NDArray[np.bool_]


def read_shifts(path: str | Path) -> Shifts:
    """Return (source, data set) -> kind of shift, the source empty where it is not given.

    The kinds are free words; Marks et al. (2025) have categorical, style and both. Raises `DataError` for no such file,
    missing columns, or two kinds for one pair.
    """
    import csv

    if not Path(path).is_file():
        raise DataError(f"there is no '{path}'; expected a CSV file with the columns dataset and shift")
    with Path(path).open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        names = [name.strip() for name in reader.fieldnames or []]
        reader.fieldnames = names
        if not {"dataset", "shift"} <= set(names):
            raise DataError(f"'{path}' has the columns {', '.join(names)}; expected dataset, shift and maybe source")
        shifts: dict[tuple[str, str], str] = {}
        for line in reader:
            pair = ((line.get("source") or "").strip(), (line["dataset"] or "").strip())
            kind = (line["shift"] or "").strip()
            if shifts.setdefault(pair, kind) != kind:
                raise DataError(f"'{path}' gives '{pair[1]}' the shifts '{shifts[pair]}' and '{kind}'; expected one")
    return shifts


def shifts_of(frame: pd.DataFrame, question: Question) -> Shifts:
    """Return (source or "", data set) -> kind of shift: as given, else from the column ``shift``.

    Raises `DataError` for a data set with two kinds of shift in the table, or a name in the mapping that none has.
    """
    datasets = set(frame["dataset"])
    if question.shifts is not None:
        lost = sorted({name for pair in question.shifts for name in pair if name and name not in datasets})
        if lost:
            raise DataError(
                f"the shifts name the data set '{lost[0]}', which the table has not; "
                f"expected {some(sorted(datasets), 20)}"
            )
        return question.shifts
    if "shift" not in frame.columns:
        return {}
    shifts: Shifts = {}
    for dataset, shift in frame[["dataset", "shift"]].drop_duplicates().itertuples(index=False):
        if shift and shifts.setdefault(("", dataset), shift) != shift:
            raise DataError(
                f"'{dataset}' has the shifts '{shifts['', dataset]}' and '{shift}'; expected one kind for each data "
                "set, or a file for --shifts with the columns source, dataset, shift"
            )
    return shifts


def domains(
    cells: Sequence[Pairing], corrected: dict[int, dict[str, float | None]], shifts: Shifts, question: Question
) -> dict[str, Any]:
    """Return the matrix, its averages by kind of shift, and what changes out of domain, for each proxy."""
    by_proxy: dict[str, list[Pairing]] = {}
    for cell in proxied(cells):
        by_proxy.setdefault(cell.candidate.name, []).append(cell)
    first, *others = by_proxy.values()
    return {
        "cells": [{**_cell(cell, shifts, question), "p": corrected[id(cell)]} for cell in proxied(cells)],
        "averages": [line for own in by_proxy.values() for line in _averages(own, shifts, question)],
        "change": [{"proxy": name, "spearman": _change(own, question)} for name, own in by_proxy.items()],
        "ahead": [
            {"proxy": own[0].candidate.name, "part": part, "spearman": _ahead(own, first, inside, question)}
            for own in others
            for part, inside in (("in domain", True), ("out of domain", False))
        ],
    }


def _cell(cell: Pairing, shifts: Shifts, question: Question) -> dict[str, Any]:
    numbers = summary([cell], question)
    return {
        "proxy": cell.candidate.name,
        "source": cell.candidate.source,
        "dataset": cell.target.dataset,
        "shift": _shift(cell, shifts),
        "n": cell.n,
        **{name: numbers[name] for name in NUMBERS},
        "interval": numbers["intervals"]["spearman"],
    }


def _shift(cell: Pairing, shifts: Shifts) -> str:
    """Return the kind of shift of a cell: declared for the pair, else for the target's data set."""
    pair = (cell.candidate.source, cell.target.dataset)
    return shifts.get(pair, shifts.get(("", cell.target.dataset), ""))


def _averages(cells: Sequence[Pairing], shifts: Shifts, question: Question) -> list[dict[str, Any]]:
    """Return the numbers in domain, out of domain, and out of domain by kind of shift."""
    outside = [cell for cell in cells if not cell.in_domain]
    kinds = dict.fromkeys(shift for cell in outside if (shift := _shift(cell, shifts)))
    parts = {
        "in domain": [cell for cell in cells if cell.in_domain],
        "out of domain": outside,
        **{kind: [cell for cell in outside if _shift(cell, shifts) == kind] for kind in kinds},
    }
    return [
        {"proxy": some[0].candidate.name, "part": part, **summary(some, question)}
        for part, some in parts.items()
        if some
    ]


def _change(cells: Sequence[Pairing], question: Question) -> dict[str, Any] | None:
    """Return Spearman out of domain less in domain with its interval."""
    inside, outside = [c for c in cells if c.in_domain], [c for c in cells if not c.in_domain]
    return lead(outside, inside, "spearman", question) if inside and outside else None


def _ahead(
    own: Sequence[Pairing], other: Sequence[Pairing], inside: bool, question: Question
) -> dict[str, float] | None:
    """Return a proxy's Spearman less the first one's with its interval, over the cells that both have; or None."""
    by_place, of_first = (
        {(c.candidate.source, c.target.dataset): c for c in cells if c.in_domain == inside} for cells in (own, other)
    )
    shared = [place for place in by_place if place in of_first]
    return lead([by_place[p] for p in shared], [of_first[p] for p in shared], "spearman", question) if shared else None


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
