"""How explain is shown."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from acclimate.commands.shared import Document
from acclimate.commands.tables import loud, table


def explain(console: Console, document: Document) -> None:
    """Print the document of ``explain``: the sentences, then one line a block."""
    console.print(
        f"[bold]{escape(document['run'])}[/] against its start [bold]{escape(document['start'])}[/]{loud(document)}, "
        f"on {document['images']:,} images of {escape(document['data'])} ({escape(document['part'])})"
    )
    for sentence in document["summary"]:
        console.print(f"- {escape(sentence)}", highlight=False)
    for note in document["notes"]:
        console.print(f"[yellow]note:[/] {escape(note)}", highlight=False)
    blocks = [row for row in document["layers"] if row["kind"] != "norm"]
    columns = {
        "layer": "layer",
        "cka": "CKA",
        "interval": f"{document['level']:.0%} interval",
        "shift": "shift",
        "rank": "effective rank",
        "separation": "class separation",
    }
    table(console, [_line(row) for row in blocks], columns)
    run = escape(document["run"])
    console.print(f"All {len(document['layers'])} layers: {run}/explain.json. Charts: acclimate report {run}")


def _line(row: Document) -> Document:
    alike, apart = row["cka"] or {}, row["separation"]
    known = alike.get("low") is not None
    return {
        "layer": row["layer"],
        "cka": alike.get("value"),
        "interval": f"{alike['low']:.3f} to {alike['high']:.3f}" if known else None,
        "shift": row["shift"],
        "rank": f"{row['rank']['before']:.1f} -> {row['rank']['after']:.1f}",
        "separation": f"{apart['before']:.3f} -> {apart['after']:.3f}" if apart else None,
    }
