"""What the painters share: tables, numbers, the stages of a recipe and the warning of a random start."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

Document = dict[str, Any]


def number(value: Any) -> str:
    """Return a value as a cell of a table shows it, escaped."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) >= 1000 else f"{value:.3f}"
    if isinstance(value, int):
        return f"{value:,}"
    return escape(str(value))


def table(console: Console, rows: list[Document], columns: dict[str, str], *, whole: str = "") -> None:
    """Print rows as a table of the named columns, in their order.

    ``columns`` maps keys to titles; the values of the key ``whole`` are never broken into lines.
    """
    drawn = Table(box=None, header_style="bold", pad_edge=False)
    for key, title in columns.items():
        drawn.add_column(title, overflow="fold", no_wrap=key == whole)
    for row in rows:
        drawn.add_row(*(number(row.get(key)) for key in columns))
    console.print(drawn)


def loud(document: Document) -> str:
    """Return the warning that follows the name of a randomly initialised model, else nothing."""
    return " (RANDOMLY INITIALISED)" if document.get("random_start") else ""


def stages(console: Console, document: Document) -> None:
    """Print the stages of a recipe, planned or done."""
    columns = {
        "objective": "objective",
        "scope": "scope",
        "share": "trainable",
        "trainable": "parameters",
        "epochs": "epochs",
        "steps": "steps",
        "seconds": "seconds",
        "images_per_second": "images/s",
        "expected_seconds": "expected s",
    }
    rows = [{**s, "share": f"{100 * s['trainable'] / s['total']:.2f}%"} for s in document["stages"]]
    present = {key: title for key, title in columns.items() if any(key in row for row in rows)}
    table(console, rows, present)
