"""How demo, rank and curve are shown."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from acclimate.commands.shared import Document
from acclimate.commands.tables import loud, table


def rank(console: Console, document: Document) -> None:
    """Print the document of ``rank``."""
    rows = [
        {**line, **line["proxies"], "model": line["model"] + loud(line), "interval": _interval(line)}
        for line in document["models"]
    ]
    columns = {
        "rank": "rank",
        "model": "model",
        "knn": "kNN",
        "logistic": "logistic",
        "final": "final",
        "interval": "90% interval",
        "in_set": "in the set",
        "seconds": "seconds",
    }
    table(console, rows, columns)
    ties = document["confidence_set"]
    if len(ties) > 1:
        console.print(f"These {len(ties)} cannot be told apart on this validation set: {escape(', '.join(ties))}")
    else:
        console.print(f"Best: {escape(document['best'])}")
    console.print(
        f"Rows and predictions: {escape(document['out'])}. A page of it: acclimate report {escape(document['out'])}"
    )


def curve(console: Console, document: Document) -> None:
    """Print the document of ``curve``."""
    told = {(c["model"], c["training"], c["labels"]): c for c in document["comparisons"]}
    names = {model["model"]: model["model"] + loud(model) for model in document["models"]}
    groups: dict[tuple[str, str, str], list[Document]] = {}
    for point in document["points"]:
        groups.setdefault((point["model"], point["training"], point["labels"]), []).append(point)
    rows = [
        {
            "model": names[key[0]],
            "training": key[1],
            "labels": key[2],
            **{name: _mean(points, name) for name in ("log_loss", "macro_f1", "auc", "auc_positive", "accuracy")},
            "change": _changed(told[key]) if key in told else "",
            "worth": told[key]["worth_words"] if key in told else "",
        }
        for key, points in groups.items()
    ]
    columns = {
        "model": "model",
        "training": "training",
        "labels": "labels",
        "log_loss": "log loss",
        "macro_f1": "macro F1",
        "auc": "AUC",
        "auc_positive": "AUC pos/neg",
        "accuracy": "accuracy",
        "change": "log loss against the base",
        "worth": "labels",
    }
    if all(row["auc_positive"] is None for row in rows):
        del columns["auc_positive"]
    table(console, rows, columns)
    for verdict in document["verdicts"]:
        console.print(f"{escape(verdict['model'])}, {verdict['training']}: {escape(verdict['words'])}", highlight=False)
    for note in document["notes"]:
        console.print(f"[yellow]note:[/] {escape(note)}", highlight=False)
    if document["verdict"]:
        console.print(f"[bold]{escape(document['verdict'])}[/]", highlight=False)
    out = escape(document["out"])
    console.print(f"Points and rows: {out}. A page of it: acclimate report {out}")


def _mean(points: list[Document], name: str) -> float | None:
    values = [value for point in points if (value := point.get(name)) is not None]
    return sum(values) / len(values) if values else None


def _changed(comparison: Document) -> str:
    loss = comparison["log_loss"]
    interval = "" if loss["low"] is None else f" ({loss['low']:+.3f} to {loss['high']:+.3f})"
    return f"{loss['mean']:+.3f}{interval}"


def _interval(line: Document) -> str:
    return "-" if line["low"] is None else f"{line['low']:.3f} to {line['high']:.3f}"


def demo(console: Console, document: Document) -> None:
    """Print the document of ``demo``."""
    for sentence in document["findings"]:
        console.print(f"- {escape(sentence)}")
    console.print(f"Report: [bold]{escape(document['report'])}[/]")
