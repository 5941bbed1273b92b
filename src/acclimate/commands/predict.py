"""``acclimate predict``: the classes of new images."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acclimate.commands.data import check_data, open_data
from acclimate.commands.shared import (
    Cache,
    Command,
    Data,
    Device,
    Document,
    Precision,
    Run,
    Seed,
    SkipBad,
    head,
    runtime_of,
    writable_file,
)
from acclimate.commands.tables import escape

if TYPE_CHECKING:
    from rich.console import Console


def predict(
    run: Run,
    images: Data,
    *,
    tta: Annotated[str, typer.Option(help="none, or hflip: average each image and its mirror image.")] = "none",
    out: Annotated[Path | str, typer.Option(help="A .csv file.")] = Path("predictions.csv"),
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    cache: Cache = None,
    skip_bad: SkipBad = False,
    quiet: bool = False,
) -> Document:
    """Write the classes of new images to a CSV file.

    Its columns are ``path``, ``label``, ``confidence`` and the probability of every class. The images need no labels.

    Returns
    -------
    The document: ``n``, ``skipped``, ``out`` and what was predicted with.
    """
    started = time.perf_counter()
    runtime = runtime_of(device=device, precision=precision, cache=cache, skip_bad=skip_bad, quiet=quiet)
    check_data(images)
    target = writable_file(out, ".csv")

    from acclimate.models import choose_device
    from acclimate.models.classifier import Classifier, predictions_csv
    from acclimate.storage.store import write_atomic

    classifier = Classifier.load(run)
    new_images = open_data(images, runtime)
    probabilities = classifier.predict_proba(new_images, runtime, tta=tta)
    names = [new_images.source.name(i) for i in range(len(new_images))]
    write_atomic(target, predictions_csv(names, classifier.classes, probabilities))
    return {
        **head("predict", started, seed=seed, device=choose_device(device)),
        "run": str(run),
        "n": len(new_images),
        "skipped": len(new_images.skipped),
        "tta": tta,
        "out": str(out),
    }


def show(document: Document, console: Console) -> None:
    """Print how many images there were, and where the file is."""
    skipped = f", {document['skipped']} left out" if document["skipped"] else ""
    console.print(f"Predictions of {document['n']:,} images{skipped}: {escape(document['out'])}")


COMMAND = Command(predict, show)
