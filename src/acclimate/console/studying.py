"""How a study and its plan are shown."""

from __future__ import annotations

from collections import Counter

from rich.console import Console
from rich.markup import escape

from acclimate.commands.shared import Document
from acclimate.commands.tables import loud, table

SHOWN = 20  # lines of one kind


def study(console: Console, document: Document) -> None:
    """Print the document of ``study``."""
    console.print(f"Study [bold]{escape(document['study'])}[/]: {document['done']:,} of {document['cells']:,} cells")
    rows = [
        {**line, "model": line["model"] + loud(line), "value": _spread(line), "part": line["split"]}
        for line in document["summary"]
    ]
    columns = {"dataset": "data", "protocol": "protocol", "labels": "labels", "model": "model", "part": ""}
    table(console, rows[:SHOWN], {**columns, "value": "accuracy, mean and spread over seeds"})
    _more(console, len(rows) - SHOWN, "lines, see study.json")
    for note in document["notes"]:
        console.print(f"[yellow]note:[/] {escape(note)}", highlight=False)
    _missing(console, document)
    for cell in document["failed"][:SHOWN]:
        where = f"{cell['protocol']} of {cell['model']} on {cell['data']}, labels {cell['labels']}, seed {cell['seed']}"
        console.print(f"[red]failed:[/] {escape(where)}: {escape(cell['reason'])}", highlight=False)
    _more(console, len(document["failed"]) - SHOWN, "that failed, see study.json")
    if document["failed"]:
        console.print("Give --retry-failed to try these again.")
    out = escape(document["out"])
    console.print(f"Table: {escape(document['table'])}. A page of it: acclimate report {out}", highlight=False)


def plan(console: Console, document: Document) -> None:
    """Print the plan of a dry run."""
    console.print(f"[bold]Plan of study '{escape(document['study'])}'[/] (nothing was done)")
    for said in (document["source"], *document["deviations"]):
        if said:
            console.print(escape(said), highlight=False)
    cells: Counter[tuple[str, str, str]] = Counter()
    for cell in document["cells"]:
        cells[cell["data"], cell["protocol"], cell["labels"]] += 1
    rows = [{"data": d, "protocol": p, "labels": n, "cells": count} for (d, p, n), count in cells.items()]
    table(console, rows, {"data": "data", "protocol": "protocol", "labels": "labels", "cells": "cells"})
    states = Counter(cell["state"] for cell in document["cells"])
    fetched = [one for one in (*document["models"], *document["data"]) if one["state"] == "download"]
    for one in fetched:
        console.print(f"to download: {escape(one['name'])}, {escape(one['said'])}", highlight=False)
    _missing(console, document)
    counted = ", ".join(f"{count:,} {state}" for state, count in states.items())
    models, data = len(document["models"]), len(document["data"])
    console.print(f"{len(document['cells']):,} cells of {models} models on {data} data sets: {counted}")


def _missing(console: Console, document: Document) -> None:
    for one in document["missing"]:
        console.print(f"[yellow]missing:[/] {escape(one['name'])}: {escape(one['said'])}", highlight=False)


def _more(console: Console, n: int, what: str) -> None:
    if n > 0:
        console.print(f"and {n:,} more {what}")


def _spread(line: Document) -> str:
    if line["std"] is None:
        return f"{line['mean']:.3f} (one seed)"
    return f"{line['mean']:.3f} ± {line['std']:.3f} ({line['seeds']} seeds)"
