"""How documents are printed: tables, numbers, notes, the stages of a recipe, and the warning of a random start.

Rich is imported when something is printed, so that ``acclimate --help`` does without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from acclimate.commands.shared import Document

if TYPE_CHECKING:
    from rich.console import Console

# What a table of one prediction's numbers shows, by the metric's key.
METRICS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced",
    "macro_f1": "macro F1",
    "auc": "AUC",
    "log_loss": "log loss",
    "ece": "ECE",
}


def escape(text: Any) -> str:
    """Return a text that Rich prints as it stands, square brackets included."""
    from rich.markup import escape as escaped

    return escaped(str(text))


def number(value: Any) -> str:
    """Return a value as a cell of a table shows it, escaped."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) >= 1000 else f"{value:.3f}"
    if isinstance(value, int):
        return f"{value:,}"
    return escape(value)


def table(console: Console, rows: Sequence[Document], columns: dict[str, str], *, whole: str = "") -> None:
    """Print rows as a table of the named columns, in their order.

    ``columns`` maps keys to titles; the values of the key ``whole`` are never broken into lines.
    """
    from rich.table import Table

    lines = Table(box=None, header_style="bold", pad_edge=False)
    for key, title in columns.items():
        lines.add_column(title, overflow="fold", no_wrap=key == whole)
    for row in rows:
        lines.add_row(*(number(row.get(key)) for key in columns))
    console.print(lines)


def notes(console: Console, texts: Iterable[str], title: str = "[yellow]note:[/]") -> None:
    """Print notes, one a line."""
    for text in texts:
        console.print(f"{title} {escape(text)}", highlight=False)


def more(console: Console, n: int, rest: str) -> None:
    """Print how many of a kind were left out, if any; ``rest`` ends the line."""
    if n > 0:
        console.print(f"and {n:,} more{rest}")


def loud(document: Document) -> str:
    """Return the warning that follows the name of a randomly initialised model, else nothing."""
    return " (RANDOMLY INITIALISED)" if document.get("random_start") else ""


def named(document: Document) -> str:
    """Return the name of the document's model, bold, and the warning of a random start."""
    return f"[bold]{escape(document['model'])}[/]{loud(document)}"


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


def plan(console: Console, document: Document) -> None:
    """Print what is common to the plans of dry runs: the images, then the stages or the models."""
    console.print(f"[bold]Plan of '{document['command']}'[/] (nothing was done)")
    for name, value in document["images"].items():
        console.print(f"{name:>10}  {number(value)}")
    if "stages" in document:
        stages(console, document)
    else:
        titles = {"model": "model", "trainable": "trainable", "total": "parameters", "expected_seconds": "expected s"}
        table(console, document["models"], titles)


def expected(console: Console, document: Document) -> None:
    """Print how long what a dry run planned will take."""
    console.print(f"Expected: about {document['expected_seconds']:.0f} s on {document['device']}, decoding not counted")
