"""``acclimate report``: one page of whatever a folder holds."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acclimate.commands.shared import Command, Device, Document, Seed, head
from acclimate.commands.tables import escape

if TYPE_CHECKING:
    from rich.console import Console


def report(
    folder: Annotated[
        str | Path, typer.Argument(help="A folder with runs, rows, a ranking or results tables, or a table.")
    ],
    *,
    target: Annotated[
        str | None,
        typer.Option(help="Protocol that the cheap ones should foresee; default a finetuning, else the dearest."),
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
) -> Document:
    """Write one self-contained report.html from whatever a folder holds.

    A ``report.md`` with the same sections lies beside it.

    Returns
    -------
    The document: ``folder`` and ``out``, the page.
    """
    from acclimate.reports import report as write_report

    started = time.perf_counter()
    page = write_report(Path(folder), target)
    return {**head("report", started, seed=seed, device="cpu"), "folder": str(folder), "out": str(page)}


def show(document: Document, console: Console) -> None:
    """Print where the page is."""
    console.print(f"Report: [bold]{escape(document['out'])}[/]")


COMMAND = Command(report, show)
