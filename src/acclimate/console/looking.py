"""How models, check, embed, score, report and dry runs are shown."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from acclimate.commands.shared import Document
from acclimate.commands.tables import loud, number, stages, table
from acclimate.console import protocols
from acclimate.console.estimates import estimates


def score(console: Console, document: Document) -> None:
    """Print the document of ``score``."""
    if "layers" in document:
        protocols.layers(console, document)
        return
    values = document.get("values") or {document["score"]: document["value"]}
    rows = [{"score": name, **document["metrics"][name]["val"]} for name in values if name in document["metrics"]]
    for row in rows:
        if "accuracy_low" in row:
            row["interval"] = f"{row['accuracy_low']:.3f} to {row['accuracy_high']:.3f}"
    interval = {"interval": "95% interval"} if any("interval" in row for row in rows) else {}
    console.print(
        f"[bold]{escape(document['model'])}[/]{loud(document)}: "
        f"{document['n']:,} training images, {document['d']} dimensions"
    )
    columns = {
        "score": "score",
        "accuracy": "accuracy",
        **interval,
        "balanced_accuracy": "balanced",
        "macro_f1": "macro F1",
        "auc": "AUC",
        "log_loss": "log loss",
        "ece": "ECE",
    }
    if rows:
        table(console, rows, columns)
    estimates(console, document["estimates"])
    for warning in document["warnings"]:
        console.print(f"[yellow]note:[/] {escape(warning)}")


def embed(console: Console, document: Document) -> None:
    """Print the document of ``embed``."""
    model = f"[bold]{escape(document['model'])}[/]{loud(document)}"
    console.print(f"{document['n']:,} images, {document['d']} features each of {model}: {escape(document['out'])}")


def dry(console: Console, document: Document) -> None:
    """Print the plan of a dry run."""
    console.print(f"[bold]Plan of '{document['command']}'[/] (nothing was done)")
    for name, value in document["images"].items():
        console.print(f"{name:>10}  {number(value)}")
    if "stages" in document:
        stages(console, document)
    else:
        table(
            console,
            document["models"],
            {
                "model": "model",
                "trainable": "trainable",
                "total": "parameters",
                "expected_seconds": "expected s",
            },
        )
    if "fits" in document:
        budgets = ", ".join(f"{line['labels']} ({line['images']:,} images)" for line in document["labels"])
        console.print(f"{document['fits']:,} fits and {document['finetunings']:,} finetunings with {escape(budgets)}")
    for note in document.get("notes", ()):
        console.print(f"[yellow]note:[/] {escape(note)}")
    console.print(f"Expected: about {document['expected_seconds']:.0f} s on {document['device']}, decoding not counted")
