"""How tune, adapt, predict and export are shown."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from acclimate.commands.shared import Document
from acclimate.commands.tables import loud, stages, table


def tune(console: Console, document: Document) -> None:
    """Print the document of ``tune``."""
    console.print(
        f"[bold]{escape(document['model'])}[/]{loud(document)} with recipe [bold]{escape(document['recipe'])}[/]"
    )
    stages(console, document)
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
    table(console, parts, columns)
    run = escape(document["run"])
    console.print(f"Run: {run}. Next: acclimate predict {run} IMAGES")


def adapt(console: Console, document: Document) -> None:
    """Print the document of ``adapt``."""
    console.print(f"[bold]{escape(document['model'])}[/]{loud(document)} adapted with {escape(document['method'])}")
    stages(console, document)
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


def predict(console: Console, document: Document) -> None:
    """Print the document of ``predict``."""
    left_out = f", {document['skipped']} left out" if document["skipped"] else ""
    console.print(f"Predictions of {document['n']:,} images{left_out}: {escape(document['out'])}")


def export(console: Console, document: Document) -> None:
    """Print the document of ``export``."""
    console.print(f"Written for {document['format']}: {escape(document['out'])}")
    if "max_difference" in document:
        console.print(f"Largest difference of a probability from torch: {document['max_difference']:.1e}")
