"""``acclimate export``: a run's classifier for use elsewhere."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acclimate.commands.shared import Command, Device, Document, Run, Seed, fresh_folder, head, writable_file
from acclimate.commands.tables import escape

if TYPE_CHECKING:
    from rich.console import Console

FORMATS = ("timm", "onnx")


def export(
    run: Run,
    *,
    format: Annotated[str, typer.Option(help=f"{' or '.join(FORMATS)}.")] = "timm",
    out: Annotated[
        Path | str | None, typer.Option(help="Where to write; default: timm/ or model.onnx in the run.")
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
) -> Document:
    """Write a run's classifier for plain timm, or as an ONNX graph that was checked.

    Returns
    -------
    The document: ``run``, ``format`` and ``out``; of an ONNX graph also ``max_difference``, the largest difference of a
    probability from torch's.
    """
    from acclimate.errors import InputError, unknown

    started = time.perf_counter()
    if format not in FORMATS:
        raise InputError(unknown("format", format, FORMATS))

    from acclimate.models.classifier import Classifier, export_onnx, export_timm

    classifier = Classifier.load(run)
    target = Path(out) if out else Path(run) / ("timm" if format == "timm" else "model.onnx")
    differences: Document = {}
    if format == "timm":
        export_timm(classifier, fresh_folder(target))
    else:
        differences = dict(export_onnx(classifier, writable_file(target, ".onnx")))
    return {
        **head("export", started, seed=seed, device="cpu"),
        "run": str(run),
        "format": format,
        "out": str(target),
        **differences,
    }


def show(document: Document, console: Console) -> None:
    """Print where it is, and how far an ONNX graph is from torch."""
    console.print(f"Written for {document['format']}: {escape(document['out'])}")
    if "max_difference" in document:
        console.print(f"Largest difference of a probability from torch: {document['max_difference']:.1e}")


COMMAND = Command(export, show)
