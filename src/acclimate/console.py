"""How a document is shown: as JSON for programs, as tables and sentences for people."""

from __future__ import annotations

import json
import math
import sys
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

Document = dict[str, Any]
SHOWN = 10  # examples of one kind


def show(document: Document, *, as_json: bool) -> None:
    """Print a command's document on stdout."""
    if as_json:
        json.dump(_finite(document), sys.stdout, indent=1)
        sys.stdout.write("\n")
        return
    console = Console()
    painter = _PAINTERS[document["command"]]
    (_dry if document.get("dry_run") else painter)(console, document)


def _finite(value: Any) -> Any:
    """Return the same with NaN and infinity as null: JSON has neither."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _number(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) >= 1000 else f"{value:.3f}"
    if isinstance(value, int):
        return f"{value:,}"
    return escape(str(value))


def _table(console: Console, rows: list[Document], columns: dict[str, str]) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in columns.values():
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*(_number(row.get(key)) for key in columns))
    console.print(table)


def _models(console: Console, document: Document) -> None:
    columns = {
        "name": "model",
        "family": "family",
        "parameters": "parameters",
        "licence": "licence",
        "source": "source",
    }
    _table(console, document["models"], columns)


def _rank(console: Console, document: Document) -> None:
    rows = [
        {**line, **line["proxies"], "model": line["model"] + _loud(line), "interval": _interval(line)}
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
    _table(console, rows, columns)
    ties = document["confidence_set"]
    if len(ties) > 1:
        console.print(f"These {len(ties)} cannot be told apart on this validation set: {escape(', '.join(ties))}")
    else:
        console.print(f"Best: {escape(document['best'])}")
    console.print(
        f"Rows and predictions: {escape(document['out'])}. A page of it: acclimate report {escape(document['out'])}"
    )


def _curve(console: Console, document: Document) -> None:
    told = {(c["model"], c["training"], c["labels"]): c for c in document["comparisons"]}
    loud = {model["model"]: model["model"] + _loud(model) for model in document["models"]}
    groups: dict[tuple[str, str, str], list[Document]] = {}
    for point in document["points"]:
        groups.setdefault((point["model"], point["training"], point["labels"]), []).append(point)
    rows = [
        {
            "model": loud[key[0]],
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
    _table(console, rows, columns)
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


def _loud(document: Document) -> str:
    return " (RANDOMLY INITIALISED)" if document.get("random_start") else ""


def _stages(console: Console, document: Document) -> None:
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
    _table(console, rows, present)


def _tune(console: Console, document: Document) -> None:
    console.print(
        f"[bold]{escape(document['model'])}[/]{_loud(document)} with recipe [bold]{escape(document['recipe'])}[/]"
    )
    _stages(console, document)
    parts = [{"part": part, **document[part]} for part in ("val", "test") if document[part]]
    columns = {
        "part": "",
        "accuracy": "accuracy",
        "balanced_accuracy": "balanced",
        "macro_f1": "macro F1",
        "auc": "AUC",
        "log_loss": "log loss",
        "ece": "ECE",
    }
    _table(console, parts, columns)
    run = escape(document["run"])
    console.print(f"Run: {run}. Next: acclimate predict {run} IMAGES")


def _adapt(console: Console, document: Document) -> None:
    console.print(f"[bold]{escape(document['model'])}[/]{_loud(document)} adapted with {escape(document['method'])}")
    _stages(console, document)
    console.print(f"Kept: [bold]{document['kept']}[/]. {escape(document['reason'])}", highlight=False)
    console.print(f"{_monitors(document['monitors'])}. {_pool(document['images'])}", highlight=False)
    run = escape(document["run"])
    console.print(f"Run: {run}. Next: acclimate tune DATA --model {run}")


def _monitors(monitors: Document) -> str:
    before, after = monitors["start"], monitors["adapted"]
    changes = [
        f"{title} {before[name]:.{digits}f} -> {after[name]:.{digits}f}"
        for name, title, digits in (("feature_std", "feature std", 3), ("rankme", "RankMe", 1))
    ]
    text = f"{', '.join(changes)}, {monitors['neighbour_overlap']:.0%} of neighbours in common with the start model"
    return text[:1].upper() + text[1:]


def _pool(images: Document) -> str:
    dropped = images["dropped_twins"]
    twins = f"{dropped:,} near-duplicate{'' if dropped == 1 else 's'} of held-out images dropped"
    return f"Pool: {images['pool']:,} images, {twins}"


def _score(console: Console, document: Document) -> None:
    values = document.get("values") or {document["score"]: document["value"]}
    rows = [{"score": name, **document["metrics"][name]["val"], "value": value} for name, value in values.items()]
    console.print(
        f"[bold]{escape(document['model'])}[/]{_loud(document)}: "
        f"{document['n']:,} training images, {document['d']} dimensions"
    )
    _table(
        console,
        rows,
        {
            "score": "score",
            "accuracy": "accuracy",
            "balanced_accuracy": "balanced",
            "macro_f1": "macro F1",
            "auc": "AUC",
            "log_loss": "log loss",
            "ece": "ECE",
        },
    )
    for warning in document["warnings"]:
        console.print(f"[yellow]note:[/] {escape(warning)}")


def _check(console: Console, document: Document) -> None:
    console.print(f"{document['images']:,} images, {len(document['classes'])} classes")
    for problem in document["problems"]:
        console.print(f"[yellow]-[/] {escape(str(problem))}")
    if not document["problems"]:
        console.print("No problem found.")
    pairs = [
        f"{pair['a']['name']} and {pair['b']['name']} {'are the same' if pair['exact'] else 'look the same'}"
        for pair in document["leaks"]["pairs"]
    ]
    copies = [f"{' = '.join(group)}" for group in document["duplicates"]["groups"]]
    for examples in (document["corrupt"], pairs, copies):
        for example in examples[:SHOWN]:
            console.print(f"    {escape(example)}", highlight=False)
        if len(examples) > SHOWN:
            console.print(f"    and {len(examples) - SHOWN} more, see --json")


def _embed(console: Console, document: Document) -> None:
    model = f"[bold]{escape(document['model'])}[/]{_loud(document)}"
    console.print(f"{document['n']:,} images, {document['d']} features each of {model}: {escape(document['out'])}")


def _predict(console: Console, document: Document) -> None:
    left_out = f", {document['skipped']} left out" if document["skipped"] else ""
    console.print(f"Predictions of {document['n']:,} images{left_out}: {escape(document['out'])}")


def _export(console: Console, document: Document) -> None:
    console.print(f"Written for {document['format']}: {escape(document['out'])}")
    if "max_difference" in document:
        console.print(f"Largest difference of a probability from torch: {document['max_difference']:.1e}")


def _report(console: Console, document: Document) -> None:
    console.print(f"Report: [bold]{escape(document['out'])}[/]")


def _dry(console: Console, document: Document) -> None:
    console.print(f"[bold]Plan of '{document['command']}'[/] (nothing was done)")
    for name, value in document["images"].items():
        console.print(f"{name:>10}  {_number(value)}")
    if "stages" in document:
        _stages(console, document)
    else:
        _table(
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


def _demo(console: Console, document: Document) -> None:
    for sentence in document["findings"]:
        console.print(f"- {escape(sentence)}")
    console.print(f"Report: [bold]{escape(document['report'])}[/]")


_PAINTERS = {
    "models": _models,
    "rank": _rank,
    "curve": _curve,
    "tune": _tune,
    "adapt": _adapt,
    "score": _score,
    "check": _check,
    "embed": _embed,
    "predict": _predict,
    "export": _export,
    "report": _report,
    "demo": _demo,
}
