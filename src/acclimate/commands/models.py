"""``acclimate models``: the catalogue of pretrained models."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from acclimate.commands.shared import Command, Device, Document, Seed, head
from acclimate.commands.tables import table

if TYPE_CHECKING:
    from rich.console import Console


def list_models(
    *,
    family: Annotated[str | None, typer.Option(help="Keep one family, such as zoo.")] = None,
    seed: Seed = 0,
    device: Device = "auto",
) -> Document:
    """List the catalogue: source, size, licence.

    Returns
    -------
    The document: ``models``, each with name, family, source, architecture, parameters, licence and weights.

    Raises
    ------
    ModelError
        For an unknown family; the nearest one is named.
    """
    from acclimate.catalogue import entries
    from acclimate.errors import ModelError, unknown

    started = time.perf_counter()
    families = {entry.family for entry in entries()}
    if family is not None and family not in families:
        raise ModelError(unknown("family", family, families))
    lines = [asdict(entry) for entry in entries() if family in (None, entry.family)]
    return {**head("models", started, seed=seed, device="cpu"), "models": lines}


def show(document: Document, console: Console) -> None:
    """Print the catalogue as a table."""
    titles = {
        "name": "model",
        "family": "family",
        "parameters": "parameters",
        "licence": "licence",
        "source": "source",
    }
    table(console, document["models"], titles)


COMMAND = Command(list_models, show)
