"""How protocols and the layers of a score are shown."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from acclimate.commands.shared import Document
from acclimate.commands.tables import loud, table


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
