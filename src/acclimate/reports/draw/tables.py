"""What the tables of a report share: cells are rounded, and unrounded records stand beside them for the CSV file."""

from __future__ import annotations

from acclimate.reports.draw.blocks import Badge, TableCell, Value
from acclimate.reports.read.collect import Doc
from acclimate.reports.text import duration, fixed, number, percent, span
from acclimate.stats import METRICS

RANDOM = Badge("random", "randomly initialised")
BEST, TIE = Badge("best", "best"), Badge("tie", "cannot be told apart from the best")
FIRST = ("accuracy", "log_loss")  # of the metrics in a table
SPLITS = {"val": "Validation", "test": "Test"}  # as they begin a column


def metrics() -> list[str]:
    """Return the metrics that every row has, those of `FIRST` first."""
    return [*FIRST, *(name for name, metric in METRICS.items() if metric.of is not None and name not in FIRST)]


def text_cell(text: str, note: str = "", badges: tuple[Badge, ...] = ()) -> TableCell:
    """Return a cell that sorts by its text."""
    return TableCell(text, text, note, badges)


def figure_cell(value: object, digits: int = 3, note: str = "") -> TableCell:
    """Return a cell with a rounded number and the number it sorts by."""
    return TableCell(fixed(value, digits), number(value), note)


def ends_cell(ends: Doc, digits: int = 3) -> TableCell:
    """Return a cell with an interval, ``low`` and ``high`` of a document; it sorts by the lower end."""
    return TableCell(span(ends.get("low"), ends.get("high"), digits) or "–", number(ends.get("low")))


def share_cell(value: object) -> TableCell:
    """Return a cell with a share in [0, 1] as a percentage."""
    return TableCell(percent(value, 1) or "–", number(value))


def time_cell(seconds: object) -> TableCell:
    """Return a cell with seconds as people say them."""
    return TableCell(duration(seconds), number(seconds))


def model_cell(name: str, *, random: bool, badges: tuple[Badge, ...] = (), note: str = "") -> TableCell:
    """Return a cell with a model, marked where it began from random numbers."""
    return text_cell(name, note, (*badges, RANDOM) if random else badges)


def change_cell(before: object, after: object, digits: int, note: str = "") -> TableCell:
    """Return a cell with a number before and after; it sorts by the latter."""
    unknown = number(before) is None and number(after) is None
    return TableCell("–" if unknown else f"{fixed(before, digits)} → {fixed(after, digits)}", number(after), note)


def flat(document: Doc, before: str = "") -> dict[str, Value]:
    """Return a document with its inner objects spelt as ``outer.inner`` keys, for one line of CSV."""
    out: dict[str, Value] = {}
    for key, value in document.items():
        if isinstance(value, dict):
            out |= flat(value, f"{before}{key}.")
        elif isinstance(value, list):
            out[before + key] = " ".join(str(item) for item in value)
        else:
            out[before + key] = value
    return out
