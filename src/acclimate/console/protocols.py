"""How protocols and the layers of a score are shown."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape

from acclimate.console.tables import Document, loud, table


def protocols(console: Console, document: Document) -> None:
    """Print the document of ``protocols``: the list, or one whole."""
    shown = document["protocols"]
    if len(shown) == 1 and "settings" in shown[0]:
        _whole(console, shown[0])
        return
    rows = [{**one, "count": len(one["deviations"]) if one["preset"] else ""} for one in shown]
    table(console, rows, {"name": "protocol", "kind": "kind", "count": "deviations", "source": "source"})
    console.print("One whole, with its settings and deviations: acclimate protocols NAME")


def _whole(console: Console, one: Document) -> None:
    console.print(f"[bold]{escape(one['name'])}[/], a {'preset of kind ' if one['preset'] else ''}{one['kind']}")
    console.print(f"Source: {escape(one['source'])}", highlight=False)
    for line in _lines(one["settings"]):
        console.print(f"    {escape(line)}", highlight=False)
    for deviation in one["deviations"]:
        console.print(f"[yellow]deviates:[/] {escape(deviation)}", highlight=False)


def _lines(settings: Any, indent: str = "") -> list[str]:
    """Return settings as lines, one a key; a list of tables is numbered."""
    found = []
    for key, value in settings.items():
        if isinstance(value, dict):
            found += [f"{indent}{key}:", *_lines(value, indent + "    ")]
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for number, item in enumerate(value, start=1):
                found += [f"{indent}{key} {number}:", *_lines(item, indent + "    ")]
        elif value not in (None, {}):
            found.append(f"{indent}{key} = {_short(value)}")
    return found


def _short(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_short(item) for item in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def layers(console: Console, document: Document) -> None:
    """Print a score of several layers."""
    console.print(
        f"[bold]{escape(document['model'])}[/]{loud(document)}, {escape(document['score'])}: "
        f"{document['n']:,} training images"
    )
    columns = {
        "layer": "layer",
        "pooling": "pooling",
        "d": "dimensions",
        "accuracy": "accuracy",
        "log_loss": "log loss",
    }
    table(console, document["layers"], columns)
    console.print(f"Best on validation: [bold]{escape(document['best'])}[/] with {document['value']:.3f}")
    for warning in document["warnings"]:
        console.print(f"[yellow]note:[/] {escape(warning)}")
