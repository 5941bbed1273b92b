"""How training-free estimates are shown: the number, what it means, and what to mind."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from acclimate.commands.shared import Document
from acclimate.commands.tables import number, table

BETTER = {"larger": "more", "smaller": "less", "neither": "-"}


def estimates(console: Console, lines: list[Document]) -> None:
    """Print the estimates of a document, if any; those that lack something come last, in one line each."""
    had = [line for line in lines if line["value"] is not None]
    if had:
        rows = [
            {
                "name": line["name"],
                "value": _value(line["value"]),
                "better": BETTER[line["better"]],
                "meaning": "; ".join([line["meaning"], line["range"], *_to_mind(line)]),
            }
            for line in had
        ]
        titles = {"name": "estimate", "value": "value", "better": "better", "meaning": "meaning and range"}
        table(console, rows, titles, whole="name")
    for line in lines:
        if line["value"] is None:
            console.print(f"no {line['name']}: {line['warning']}", style="dim", markup=False, highlight=False)


def _to_mind(line: Document) -> list[str]:
    relative = ["a part of a score over a pool of models"] if line["pool_relative"] else []
    return [*relative, *([line["warning"]] if line["warning"] else [])]


def _value(value: Any) -> str:
    if isinstance(value, list):
        return "\n".join(map(_value, value))  # one under the other: a wide column would cost every row its meaning
    small = isinstance(value, float) and 0 < abs(value) < 0.001
    return f"{value:.2g}" if small else number(value)
