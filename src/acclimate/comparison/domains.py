"""In domain against out of domain: a protocol on one data set predicts a protocol on another, the full matrix.

The analysis of Marks et al. (2025), doi 10.1007/s11263-025-02402-w: proxies are compared with what they are to predict
on the same data and under categorical shift (other classes), shift of style, or both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from acclimate.comparison.cells import NUMBERS, Pairing, bounds, mean_point, mean_resampled, summary
from acclimate.comparison.question import Question
from acclimate.errors import DataError, some

if TYPE_CHECKING:
    import pandas as pd

Shifts = dict[tuple[str, str], str]


def shifts_of(frame: pd.DataFrame, question: Question) -> Shifts:
    """Return (source or "", data set) -> kind of shift: as given, else from the column ``shift``.

    Raises
    ------
    DataError
        A data set with two kinds of shift in the table, or a name in the mapping that no data set has.
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
    proxied = [cell for cell in cells if cell.candidate.column is not None]
    proxies = dict.fromkeys(cell.candidate.name for cell in proxied)
    return {
        "cells": [{**_cell(cell, shifts, question), "p": corrected[id(cell)]} for cell in proxied],
        "averages": [
            line
            for name in proxies
            for line in _averages([c for c in proxied if c.candidate.name == name], shifts, question)
        ],
        "change": [_change([c for c in proxied if c.candidate.name == name], name, question) for name in proxies],
        "ahead": [
            {"proxy": name, "part": part, "spearman": _ahead(proxied, name, first, part == "in domain", question)}
            for first in list(proxies)[:1]
            for name in list(proxies)[1:]
            for part in ("in domain", "out of domain")
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


def _change(cells: Sequence[Pairing], name: str, question: Question) -> dict[str, Any]:
    """Return Spearman out of domain less in domain with its interval, over the same resamples."""
    inside, outside = [c for c in cells if c.in_domain], [c for c in cells if not c.in_domain]
    if not inside or not outside:
        return {"proxy": name, "spearman": None}
    least = min(cell.n for cell in cells)
    x, y = summary(inside, question)["spearman"], summary(outside, question)["spearman"]
    if x is None or y is None:
        return {"proxy": name, "spearman": None}
    change = mean_resampled(outside, "spearman") - mean_resampled(inside, "spearman")
    return {"proxy": name, "spearman": {"difference": y - x, **(bounds(change, least, question.level) or {})}}


def _ahead(
    cells: Sequence[Pairing], name: str, first: str, inside: bool, question: Question
) -> dict[str, float] | None:
    """Return a proxy's Spearman less the first one's with its interval, over the cells that both have; or None."""
    own, other = (
        {(c.candidate.source, c.target.dataset): c for c in cells if c.candidate.name == n and c.in_domain == inside}
        for n in (name, first)
    )
    shared = [pair for pair in own if pair in other]
    a, b = [own[pair] for pair in shared], [other[pair] for pair in shared]
    x, y = mean_point(a, "spearman"), mean_point(b, "spearman")
    if x is None or y is None:
        return None
    least = min(cell.n for cell in (*a, *b))
    lead = mean_resampled(a, "spearman") - mean_resampled(b, "spearman")
    return {"difference": x - y, **(bounds(lead, least, question.level) or {})}
