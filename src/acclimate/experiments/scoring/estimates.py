"""Training-free estimates as documents, and which of their warnings are said beside a table."""

from __future__ import annotations

from typing import Any

from acclimate.errors import DataError
from acclimate.scores.estimates import ESTIMATES, EstimateRow, Prepared, table

Document = dict[str, Any]


def described(prepared: Prepared, names: tuple[str, ...]) -> list[Document]:
    """Return a document for each estimate: name, value, meaning, range, better, pool_relative, warning.

    One estimate that cannot be had is an error; of several, it has no value and a warning.
    """
    rows = table(prepared, names)
    if len(rows) == 1 and rows[0].value is None:
        raise DataError(f"{rows[0].name}: {rows[0].warning}")
    return [_described(row) for row in rows]


def _described(row: EstimateRow) -> Document:
    member = ESTIMATES[row.name]
    return {
        "name": row.name,
        "value": list(row.value) if isinstance(row.value, tuple) else row.value,
        "meaning": member.meaning,
        "range": member.extent.words,
        "better": member.better,
        "pool_relative": member.pool_relative,
        "warning": row.warning,
    }


def notes_of(estimates: list[Document], score: str) -> list[str]:
    """Return the warnings of single estimates; a table of all has them in its lines, but for the worthless ones."""
    lines = [line for line in estimates if line["warning"] and line["value"] is not None]
    if score != "all":
        return [f"{line['name']}: {line['warning']}" for line in lines]
    worthless = [line["name"] for line in lines if line["warning"].startswith("worthless")]
    return [f"worthless with so few images for so many dimensions: {', '.join(worthless)}"] if worthless else []
