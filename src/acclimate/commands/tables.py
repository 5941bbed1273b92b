"""How documents are printed: tables, numbers, notes, the stages of a recipe, and the warning of a random start.

Rich is imported when something is printed, so that ``acclimate --help`` does without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from acclimate.commands.shared import Document

if TYPE_CHECKING:
    from rich.console import Console


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


def table(console: Console, rows: Sequence[Document], columns: Mapping[str, str], *, whole: str = "") -> None:
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


def metric_table(
    console: Console,
    rows: Sequence[Document],
    before: Mapping[str, str],
    after: Mapping[str, str] | None = None,
    *,
    names: Iterable[str] | None = None,
) -> None:
    """Print rows with the metrics that they have between other columns; `acclimate.stats.METRICS` knows how.

    ``names`` restricts which.
    """
    from acclimate.stats import METRICS

    keys = {key for row in rows for key, value in row.items() if value is not None}
    metrics = [name for name in METRICS if name in keys and (names is None or name in names)]
    texts = [{name: _metric(row.get(name), METRICS[name].digits) for name in metrics} for row in rows]
    titles = {name: METRICS[name].short or METRICS[name].title for name in metrics}
    table(console, [row | text for row, text in zip(rows, texts, strict=True)], {**before, **titles, **(after or {})})


def _metric(value: float | None, digits: int) -> str | None:
    return None if value is None else f"{value:.{digits}f}"


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
